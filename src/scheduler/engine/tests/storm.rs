//! Everything at once, at random, with crashes: what must hold whatever happens.

use super::world::{World, config, create, key, kill, seeds, total};
use crate::domain::lifecycle::{Facts, Outcome, decide};
use crate::domain::quota::Consumption;
use crate::model::{
    AgentId, MilliCpus, Resources, ScheduleStatus as S, ScheduledTask, SlaPolicy, TaskConfig,
    TaskId, TaskState,
};
use crate::scheduler::admin::AdminCommand;
use crate::scheduler::engine::EngineOptions;
use crate::scheduler::handle::{Command, Reply, ReplyCode};
use crate::storage::Tables;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const AGENTS: [&str; 3] = ["a", "b", "c"];

/// How many tasks fit on a machine: one more would, but for their executors.
const PER_MACHINE: i64 = 7;

fn fill(config: &mut TaskConfig) {
    config.resources.cpus = MilliCpus(495);
}

/// What the outside knows.
#[derive(Default)]
struct Judge {
    /// Requests by token: id and command.
    asked: BTreeMap<u64, (String, Command)>,
    /// First answers by request id.
    answers: BTreeMap<String, Reply>,
    /// Jobs whose creation was acknowledged, and how many instances they have at least.
    created: BTreeMap<String, u32>,
    /// Jobs that someone tried to kill.
    killed: BTreeSet<String>,
    judged: usize,
}

impl Judge {
    fn hear(&mut self, world: &World) {
        let new: Vec<_> = world.replies.iter().skip(self.judged).collect();
        self.judged = world.replies.len();
        for (token, result) in new {
            let (Ok(reply), Some((id, command))) = (result, self.asked.get(token)) else {
                continue;
            };
            let first = self
                .answers
                .entry(id.clone())
                .or_insert_with(|| reply.clone());
            assert_eq!(first, reply, "request {id} was answered in two ways");
            if let (ReplyCode::Ok, Command::CreateJob { job, .. }) = (reply.code, command) {
                self.created
                    .insert(job.key.name().to_owned(), job.instance_count);
            }
        }
    }

    fn check(&self, world: &World) {
        let tables = world.tables();
        for (name, instances) in self
            .created
            .iter()
            .filter(|(n, _)| !self.killed.contains(*n))
        {
            let active = tables.active_tasks_of_job(&key(name)).count();
            assert_eq!(active, *instances as usize, "instances of {name}");
        }
        check_tables(&tables);
        for (task, starts) in &world.started {
            assert_eq!(starts.len(), 1, "{task} was started on {starts:?}");
        }
    }
}

/// Indexes agree with the tasks, machines are not sold twice, histories follow the table.
fn check_tables(tables: &Tables) {
    let mut counts: BTreeMap<S, i64> = BTreeMap::new();
    let mut used: BTreeMap<AgentId, (Resources, BTreeSet<u16>, u32)> = BTreeMap::new();
    for task in tables.tasks() {
        *counts.entry(task.status).or_default() += 1;
        check_history(task);
        if task.status.is_assigned() {
            let agent = task.agent.clone().expect("an assigned task has an agent");
            let (sum, ports, count) = used.entry(agent).or_default();
            *sum = sum.plus(task.config.resources);
            *count += 1;
            for port in task.ports.values() {
                assert!(ports.insert(*port), "port {port} was given twice");
            }
        }
    }
    for status in S::ALL {
        assert_eq!(
            tables.count(status),
            counts.get(&status).copied().unwrap_or(0)
        );
    }
    assert!(tables.loaded_agents().eq(used.keys()));
    for job in tables.jobs() {
        let mut usage = Consumption::default();
        for task in tables.active_tasks_of_job(job) {
            usage.add(&task.config, 1);
        }
        assert_eq!(tables.job(job).unwrap().usage(), &usage, "usage of {job}");
        let all = tables.tasks().filter(|task| task.job() == job).count();
        assert_eq!(tables.tasks_of_job(job).count(), all, "tasks of {job}");
    }
    for host in AGENTS {
        let all = tables.tasks().filter(|t| t.host.as_deref() == Some(host));
        assert_eq!(tables.tasks_on_host(host).count(), all.count(), "{host}");
    }
    for (agent, (sum, ports, count)) in used {
        let load = tables.load(&agent).unwrap();
        assert_eq!((load.used(), load.executors()), (sum, count));
        assert!(load.ports().eq(ports.iter().copied()));
        let executors = EngineOptions::default().executor_overhead.times(count);
        let sum = sum.plus(executors);
        assert!(total().fits(&sum), "{agent} was sold twice: {sum:?}");
    }
}

fn check_history(task: &ScheduledTask) {
    let statuses: Vec<S> = task.events.iter().map(|e| e.status).collect();
    assert!(
        matches!(statuses[0], S::Pending | S::Throttled),
        "{statuses:?}"
    );
    assert_eq!(statuses.last(), Some(&task.status));
    for pair in statuses.windows(2) {
        let verdict = decide(Some(pair[0]), Some(pair[1]), Facts::default());
        assert_eq!(verdict.outcome, Outcome::Success, "{statuses:?}");
    }
    assert!(task.events.windows(2).all(|pair| pair[0].at <= pair[1].at));
}

fn any_job(world: &mut World) -> String {
    format!("j{}", world.rng.below(5))
}

fn random_command(world: &mut World, judge: &mut Judge) {
    let name = any_job(world);
    let hosts = BTreeSet::from([AGENTS[world.rng.index(3)].to_owned()]);
    let command = match world.rng.below(8) {
        0..3 => {
            let priority = world.rng.below(3) as i32;
            let filled = |c: &mut TaskConfig| {
                fill(c);
                c.priority = priority;
            };
            create(config(&name, filled), 1 + world.rng.index(8) as u32)
        }
        6 => Command::Admin(AdminCommand::DrainHosts {
            hosts,
            default_policy: SlaPolicy::Percentage {
                milli_percent: 0,
                duration_secs: 0,
            },
            timeout_secs: 0,
        }),
        7 => Command::Admin(AdminCommand::EndMaintenance { hosts }),
        3 => Command::RestartShards {
            job: key(&name),
            shards: BTreeSet::from([0]),
            user: "u".into(),
        },
        4 if world.rng.one_in(3) => {
            judge.killed.insert(name.clone());
            kill(&name)
        }
        _ => create(config(&name, |c| c.production = true), 2),
    };
    let id = format!("r{}", judge.asked.len());
    let token = world.next_token + 1;
    judge.asked.insert(token, (id.clone(), command.clone()));
    world.command(Some(&id), &command);
    if world.rng.one_in(3) {
        // The same request once more, with something else in it by mistake.
        judge
            .asked
            .insert(world.next_token + 1, (id.clone(), kill("nothing")));
        world.command(Some(&id), &kill("nothing"));
    }
}

fn random_report(world: &mut World) {
    let agent = AgentId::new(AGENTS[world.rng.index(3)]);
    let Some(fake) = world.agents.get(&agent) else {
        return;
    };
    let alive = fake.tasks.values().filter(|r| !r.state.is_terminal());
    let alive: Vec<TaskId> = alive.map(|r| r.task.clone()).collect();
    if alive.is_empty() {
        return;
    }
    let task = alive[world.rng.index(alive.len())].clone();
    let state = match world.rng.below(8) {
        0 => TaskState::Failed,
        1 => TaskState::Finished,
        2 => TaskState::Lost,
        _ => TaskState::Running,
    };
    world.report(&agent, &task, state);
}

fn random_event(world: &mut World, judge: &mut Judge) {
    let name = AGENTS[world.rng.index(3)];
    match world.rng.below(100) {
        0..12 => random_command(world, judge),
        12..40 => world.learn(),
        40..65 => world.deliver(),
        65..78 => random_report(world),
        78..84 => world.agent_up(name),
        84..86 => world.agent_down(name),
        86..88 => {
            world.agent_down(name);
            if let Some(agent) = world.agents.get_mut(&AgentId::new(name)) {
                agent.session += 1;
            }
        }
        88..97 => {
            let time = Duration::from_millis(world.rng.below(200));
            world.pass(time);
            world.turn();
        }
        97 => {
            let time = Duration::from_secs(world.rng.below(120));
            world.pass(time);
            world.turn();
        }
        98 => {
            world.engine.begin_snapshot();
            world.turn();
        }
        _ => {
            let learned = world.rng.index(world.appending.len() + 1);
            let before = world.tables();
            world.crash(learned);
            if learned == 0 {
                assert!(
                    before.tasks().eq(world.tables().tasks()),
                    "replay gives other tables"
                );
            }
        }
    }
}

/// Gives the states that tasks went through.
fn storm(seed: u64, events: usize) -> BTreeSet<S> {
    let mut world = World::with(seed, |options| {
        options.preemption_initial_delay = Some(Duration::from_secs(1));
        options.preemption_interval = Duration::from_secs(1);
        options.preemption_delay = Duration::from_secs(5);
    });
    let mut judge = Judge::default();
    for _ in 0..events {
        random_event(&mut world, &mut judge);
        judge.hear(&world);
        judge.check(&world);
    }
    // The storm is over: what the scheduler says runs, runs, and nothing else does.
    for name in AGENTS {
        world.agent_up(name);
    }
    let hosts = AGENTS.map(str::to_owned).into();
    let end = Command::Admin(AdminCommand::EndMaintenance { hosts });
    world.command(None, &end);
    for _ in 0..20 {
        world.calm();
        world.pass(Duration::from_secs(40));
        world.turn();
    }
    judge.hear(&world);
    judge.check(&world);
    let tables = world.tables();
    for (agent, fake) in &world.agents {
        let alive = fake.tasks.values().filter(|r| !r.state.is_terminal());
        let there: BTreeSet<&TaskId> = alive.map(|r| &r.task).collect();
        let said: BTreeSet<&TaskId> = tables.tasks_on_agent(agent).map(|t| &t.id).collect();
        assert_eq!(there, said, "tasks on {agent}");
    }
    for status in [
        S::Assigned,
        S::Throttled,
        S::Killing,
        S::Restarting,
        S::Partitioned,
        S::Preempting,
        S::Draining,
    ] {
        assert_eq!(tables.count(status), 0, "{status}");
    }
    let active: i64 = S::ALL
        .into_iter()
        .filter(|s| s.is_active())
        .map(|s| tables.count(s))
        .sum();
    assert_eq!(tables.count(S::Pending), (active - 3 * PER_MACHINE).max(0));
    tables
        .tasks()
        .flat_map(|task| task.events.iter().map(|e| e.status))
        .collect()
}

#[test]
fn whatever_happens_nothing_acknowledged_is_lost_and_nothing_runs_twice() {
    let seen: BTreeSet<S> = seeds(40, 3_000).flat_map(|seed| storm(seed, 600)).collect();
    // A storm that misses any of these is no test of them.
    for status in S::ALL {
        assert!(
            seen.contains(&status) || status == S::Init,
            "{status} was not reached"
        );
    }
}

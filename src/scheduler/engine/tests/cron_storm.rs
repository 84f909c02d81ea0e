//! Leaders that are lost one after the other, clocks that jump: every instant is decided exactly once.
//!
//! A judge reads the log, entry by entry, and knows nothing of the engine.

use super::cron::{cron_config, schedule, start};
use super::world::{World, key, seeds};
use crate::base::clock::Timestamp;
use crate::base::rng::Rng;
use crate::domain::cron::{MISSED_COUNTED, ON_TIME, Schedule, Zone};
use crate::model::{
    AgentId, CronCollisionPolicy as Policy, CronOutcome, CronRun, CronTrigger, JobKey, MilliCpus,
    TaskId, TaskState,
};
use crate::scheduler::handle::Command;
use crate::storage::stored::{Record, decode};
use crate::storage::{Op, Tables};
use std::collections::BTreeMap;
use std::time::Duration;

const JOBS: [(&str, &str, Policy); 4] = [
    ("a", "*/5 * * * *", Policy::KillExisting),
    ("b", "3,30-40 * * * *", Policy::CancelNew),
    ("c", "15 */2 * * *", Policy::KillExisting),
    ("d", "30 1 * * *", Policy::CancelNew),
];

#[derive(Default)]
struct Judge {
    /// The last position that was read.
    read: u64,
    tables: Tables,
    /// Up to where instants are decided, by job and version.
    cursors: BTreeMap<(JobKey, u64), Timestamp>,
    decided: u64,
    runs: u64,
    missed: u64,
}

impl Judge {
    fn read(&mut self, world: &World) {
        let news = world.log.iter().filter(|(at, _)| *at > self.read);
        let news: Vec<_> = news.cloned().collect();
        for (position, payload) in news {
            self.read = position;
            if let Ok(Record::Ops { ops, .. }) = decode(&payload) {
                self.entry(&ops);
            }
        }
    }

    fn entry(&mut self, ops: &[Op]) {
        let mut begun: BTreeMap<JobKey, i32> = BTreeMap::new();
        for op in ops {
            match op {
                Op::AddTasks { config, .. } => {
                    let job = &config.job;
                    let active = self.tables.active_tasks_of_job(job).count();
                    assert_eq!(active, 0, "two runs of {job} at once");
                    *begun.entry(job.clone()).or_default() += 1;
                }
                Op::NoteCronRun { job, run, .. } => {
                    let cron = self.tables.cron_job(job).unwrap().clone();
                    let known = cron.runs.iter().find(|known| known.number == run.number);
                    if matches!(run.outcome, CronOutcome::Started { .. }) {
                        *begun.entry(job.clone()).or_default() -= 1;
                    }
                    if known.is_none() && run.trigger == CronTrigger::Schedule {
                        let schedule = cron.job.cron_schedule.as_deref().unwrap();
                        self.decision(job, cron.version, schedule, &cron.zone, run);
                    }
                }
                Op::SetCronJob(cron) => {
                    let version = (cron.job.key.clone(), cron.version);
                    self.cursors.entry(version).or_insert(cron.cursor);
                }
                _ => {}
            }
            self.tables.apply(op).unwrap();
        }
        assert!(
            begun.values().all(|n| *n == 0),
            "tasks and run are not one entry"
        );
    }

    /// Each decision begins where the one before it ended, at the next instant.
    fn decision(&mut self, job: &JobKey, version: u64, text: &str, zone: &str, run: &CronRun) {
        let (schedule, zone) = (Schedule::parse(text).unwrap(), Zone::named(zone).unwrap());
        let cursor = self.cursors.get_mut(&(job.clone(), version)).unwrap();
        let next = |at: Timestamp| schedule.next_after(&zone, at).unwrap();
        assert!(
            run.at > *cursor,
            "{job}: {run:?} was decided before, up to {cursor}"
        );
        assert!(run.decided >= run.at, "{job}: {run:?} is in the future");
        match run.outcome {
            CronOutcome::Missed { first, count } => {
                assert_eq!(first, next(*cursor), "{job}: {run:?} leaves something out");
                let all = std::iter::successors(Some(first), |at| Some(next(*at)));
                let all = all.take_while(|at| *at <= run.at).count() as u64;
                assert!(
                    u64::from(count) == all || count == MISSED_COUNTED,
                    "{job}: {run:?}"
                );
                self.decided += all;
                self.missed += all;
            }
            _ => {
                assert_eq!(run.at, next(*cursor), "{job}: {run:?} leaves something out");
                let late = run.decided.since(run.at);
                let window = Duration::from_secs(900).max(ON_TIME);
                assert!(late <= window, "{job}: {run:?} is too old");
                self.decided += 1;
                self.runs += 1;
            }
        }
        *cursor = run.at;
    }
}

fn any_job(rng: &mut Rng) -> Command {
    let (name, text, policy) = JOBS[rng.index(JOBS.len())];
    let config = cron_config(name, |config| {
        config.resources.cpus = MilliCpus(100);
        config.port_names.clear();
    });
    let text = match rng.one_in(20) {
        true => "7 * * * *",
        false => text,
    };
    schedule(config, text, policy, 1 + rng.index(2) as u32)
}

fn any_report(world: &mut World) {
    let agent = AgentId::new("x");
    let alive = world.agents[&agent]
        .tasks
        .values()
        .filter(|r| !r.state.is_terminal());
    let alive: Vec<TaskId> = alive.map(|r| r.task.clone()).collect();
    for task in alive {
        let state = match world.rng.below(6) {
            0 => TaskState::Running,
            1 => TaskState::Failed,
            2 | 3 => TaskState::Finished,
            _ => continue,
        };
        world.report(&agent, &task, state);
    }
}

fn jump(world: &mut World) {
    let ms = world.rng.below(3 * 3_600_000).cast_signed();
    let by = match world.rng.below(4) {
        0 => ms,
        1 => -ms,
        2 => -ms / 100,
        _ => ms / 100,
    };
    world.now.wall = Timestamp(world.now.wall.0 + by);
}

fn event(world: &mut World) {
    match world.rng.below(20) {
        0 => {
            let mut rng = Rng::from_seed(world.rng.next_u64());
            world.command(None, &any_job(&mut rng));
        }
        1 if world.rng.one_in(4) => {
            let job = key(JOBS[world.rng.index(JOBS.len())].0);
            let user = "u".to_owned();
            world.command(None, &Command::DescheduleCronJob { job, user });
        }
        2 => {
            let name = JOBS[world.rng.index(JOBS.len())].0;
            world.command(None, &start(name));
        }
        3..6 => any_report(world),
        6 => world.agent_up("x"),
        7 if world.rng.one_in(3) => jump(world),
        8..14 => {
            let time = Duration::from_millis(world.rng.below(400_000));
            world.pass(time);
            world.turn();
        }
        14..17 => world.deliver(),
        _ => world.learn(),
    }
}

/// Gives what the judge has seen.
fn storm(seed: u64, losses: usize) -> (u64, u64, u64) {
    let mut world = World::new(seed);
    world.options.cron_zone = "Europe/Berlin".into();
    world.crash(0);
    let mut judge = Judge::default();
    world.agent_up("x");
    for loss in 0..losses {
        for _ in 0..world.rng.below(12) {
            event(&mut world);
        }
        judge.read(&world);
        if loss % 15 == 0 {
            // A whole snapshot, behind which the log is cut off.
            world.engine.begin_snapshot();
            world.calm();
            judge.read(&world);
        }
        let learned = world.rng.index(world.appending.len() + 1);
        if world.rng.one_in(10) {
            let time = Duration::from_secs(world.rng.below(5 * 3_600));
            world.pass(time);
        }
        world.crash(learned);
        judge.read(&world);
    }
    // The storm is over: nothing waits for ever.
    for _ in 0..12 {
        world.agent_up("x");
        any_report(&mut world);
        world.calm();
        world.pass(Duration::from_secs(40));
        world.turn();
    }
    judge.read(&world);
    (judge.decided, judge.runs, judge.missed)
}

#[test]
fn every_instant_is_decided_exactly_once_over_ten_thousand_losses_of_the_leader() {
    let mut sums = (0, 0, 0);
    for seed in seeds(20, 200) {
        let (decided, runs, missed) = storm(seed, 500);
        sums = (sums.0 + decided, sums.1 + runs, sums.2 + missed);
    }
    // A storm without any of these is no test of them.
    assert!(sums.1 > 2_000 && sums.2 > 10_000, "{sums:?}");
}

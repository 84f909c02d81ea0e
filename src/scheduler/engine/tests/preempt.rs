//! Room made for tasks that have waited.

use super::world::{World, config, create, key, total};
use crate::base::rng::Rng;
use crate::model::{
    AgentId, Attribute, Constraint, ConstraintKind, MilliCpus, ScheduleStatus as S, TaskConfig,
    TaskState,
};
use crate::scheduler::admin::AdminCommand;
use crate::scheduler::handle::Command;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn quota(world: &mut World) {
    let quota = total().times(1_000);
    for role in ["role", "x", "y"] {
        let role = role.to_owned();
        let set = AdminCommand::SetQuota { role, quota };
        world.command(None, &Command::Admin(set));
    }
}

fn sized(name: &str, cpus: i64, preferred: bool) -> TaskConfig {
    config(name, |c| {
        c.resources.cpus = MilliCpus(cpus);
        if preferred {
            c.production = true;
            c.tier = Some("preferred".into());
        }
    })
}

fn run_all(world: &mut World) {
    world.calm();
    world.all_go(TaskState::Starting, TaskState::Running);
    world.calm();
}

fn count(world: &World, name: &str, status: S) -> usize {
    let statuses = world.statuses(&key(name));
    statuses.into_iter().filter(|s| *s == status).count()
}

/// A machine that is full of preemptible work.
fn full() -> World {
    let mut world = World::new(3);
    quota(&mut world);
    world.agent_up("a");
    world.command(None, &create(sized("low", 990, false), 4));
    run_all(&mut world);
    assert_eq!(count(&world, "low", S::Running), 4);
    world
}

#[test]
fn production_work_takes_the_place_of_preemptible_work_after_a_while() {
    let mut world = full();
    world.command(None, &create(sized("high", 1_500, true), 1));
    run_all(&mut world);
    world.pass(Duration::from_secs(170));
    run_all(&mut world);
    assert_eq!(count(&world, "high", S::Pending), 1);
    world.pass(Duration::from_secs(120));
    run_all(&mut world);
    assert_eq!(count(&world, "high", S::Running), 1);
    assert_eq!(count(&world, "low", S::Running), 2);
    // The killed ones are rescheduled and wait, as two more do not fit.
    let waiting = count(&world, "low", S::Pending) + count(&world, "low", S::Throttled);
    assert_eq!(waiting, 2);
    let tables = world.tables();
    let high = tables.tasks_of_job(&key("high")).next().unwrap().id.clone();
    let why = format!("Preempting in favor of {high}");
    let low = key("low");
    let told = tables.tasks_of_job(&low).filter(|task| {
        task.events
            .iter()
            .any(|e| e.status == S::Preempting && e.message.as_ref() == Some(&why))
    });
    assert_eq!(told.count(), 2);
    let counters = world.engine.view().counters;
    assert_eq!(counters["preemptor_tasks_preempted_non_prod"], 2);
    assert_eq!(counters["preemptor_tasks_preempted_role/prod/low"], 2);
    assert_eq!(counters["preemptor_slot_search_successful_for_prod"], 1);
    assert!(counters["preemption_slot_search_attempts_for_role/prod/high"] > 0);
    assert_eq!(counters["reservation_cache_size"], 0);
}

#[test]
fn a_machine_is_kept_for_those_for_whom_room_was_made() {
    let mut world = full();
    world.command(None, &create(sized("high", 3_900, true), 1));
    run_all(&mut world);
    world.pass(Duration::from_secs(300));
    world.turn();
    // Small work that would fit as soon as one of the victims has ended.
    world.command(None, &create(sized("small", 900, false), 8));
    run_all(&mut world);
    assert_eq!(count(&world, "high", S::Running), 1);
    assert_eq!(count(&world, "small", S::Pending), 8);
}

#[test]
fn nobody_ends_while_another_machine_has_room_or_in_vain() {
    let mut world = full();
    world.command(None, &create(sized("huge", 9_000, true), 1));
    run_all(&mut world);
    world.pass(Duration::from_secs(400));
    run_all(&mut world);
    assert_eq!(count(&world, "low", S::Running), 4);
    world.command(None, &create(sized("high", 3_900, true), 1));
    world.pass(Duration::from_secs(100));
    run_all(&mut world);
    world.agent_up("b");
    world.pass(Duration::from_secs(400));
    run_all(&mut world);
    assert_eq!(count(&world, "high", S::Running), 1);
    assert_eq!(count(&world, "low", S::Running), 4);
}

#[test]
fn a_reservation_ends_with_the_task_it_is_for() {
    let mut world = full();
    world.command(None, &create(sized("high", 3_900, true), 1));
    run_all(&mut world);
    world.pass(Duration::from_secs(300));
    world.turn();
    assert_eq!(world.engine.preemption.reserved(), 1);
    world.command(None, &super::world::kill("high"));
    assert_eq!(world.engine.preemption.reserved(), 0);
    world.pass(Duration::from_secs(400));
    run_all(&mut world);
    assert_eq!(count(&world, "low", S::Running), 4);
}

#[test]
fn preemption_can_be_switched_off() {
    let mut world = World::with(3, |options| options.preemption_initial_delay = None);
    quota(&mut world);
    world.agent_up("a");
    world.command(None, &create(sized("low", 990, false), 4));
    run_all(&mut world);
    world.command(None, &create(sized("high", 1_500, true), 1));
    world.pass(Duration::from_secs(1_000));
    run_all(&mut world);
    assert_eq!(count(&world, "high", S::Pending), 1);
}

fn random_config(rng: &mut Rng, number: u64) -> TaskConfig {
    let role = ["x", "y"][rng.index(2)];
    let (tier, production) = [("preferred", true), ("preemptible", false)][rng.index(2)];
    let cpus = 100 + i64::try_from(rng.below(2_000)).unwrap();
    let priority = i32::try_from(rng.below(3)).unwrap();
    let limit = rng
        .one_in(3)
        .then(|| 1 + i32::try_from(rng.below(2)).unwrap());
    config("j", |c| {
        let name = format!("j{number}");
        c.job = crate::model::JobKey::new(role, "prod", &name).unwrap();
        c.tier = Some(tier.to_owned());
        c.production = production;
        c.priority = priority;
        c.resources.cpus = MilliCpus(cpus);
        c.constraints = limit
            .into_iter()
            .map(|limit| Constraint {
                name: "rack".into(),
                kind: ConstraintKind::Limit(limit),
            })
            .collect();
    })
}

/// What must hold at every moment.
fn check(world: &World, seed: u64) {
    let tables = world.tables();
    let mut racks: BTreeMap<(String, String), i32> = BTreeMap::new();
    for agent in tables.loaded_agents() {
        let load = tables.load(agent).unwrap();
        let used = load.used();
        assert!(total().fits(&used), "seed {seed}: {agent} holds {used:?}");
        let tasks: Vec<_> = tables.tasks_on_agent(agent).collect();
        let ports: BTreeSet<u16> = tasks
            .iter()
            .flat_map(|t| t.ports.values().copied())
            .collect();
        let wanted: usize = tasks.iter().map(|t| t.ports.len()).sum();
        assert_eq!(
            ports.len(),
            wanted,
            "seed {seed}: a port of {agent} was given twice"
        );
        for task in tasks {
            let rack = &world.agents[agent].attributes[0].values;
            let rack = rack.iter().next().unwrap().clone();
            *racks.entry((task.job().to_string(), rack)).or_default() += 1;
        }
    }
    for task in tables.tasks() {
        for constraint in &task.config.constraints {
            if let ConstraintKind::Limit(limit) = constraint.kind {
                let of_job = racks
                    .iter()
                    .filter(|((job, _), _)| *job == task.job().to_string());
                for ((job, rack), count) in of_job {
                    assert!(*count <= limit, "seed {seed}: {count} of {job} in {rack}");
                }
            }
        }
        if let Some(victim) = task.events.iter().find(|e| e.status == S::Preempting) {
            let favoured = victim.message.as_ref().unwrap();
            let favoured = favoured.strip_prefix("Preempting in favor of ").unwrap();
            let favoured = tables.task(&crate::model::TaskId::new(favoured));
            if let Some(favoured) = favoured {
                let (high, low) = (&favoured.config, &task.config);
                let same = high.job.role() == low.job.role() && high.priority > low.priority;
                assert!(
                    (high.production && !low.production)
                        || (high.production == low.production && same),
                    "seed {seed}: {} gave way to {}",
                    task.id,
                    favoured.id
                );
            }
        }
    }
    for role in ["x", "y"] {
        let used = tables.consumption(role).prod_shared;
        let quota = tables.quota(role).unwrap_or_default();
        assert!(
            used.cpus <= quota.cpus && used.ram_mb <= quota.ram_mb,
            "seed {seed}: {role}"
        );
    }
}

/// Machines are never given more than they have, limits and quotas hold and nobody gives way to work that
/// may not ask for it, whatever jobs come and go, machines are drained and schedulers die.
#[test]
fn capacity_limits_and_quota_hold_whatever_happens() {
    for seed in 0..20 {
        let mut world = World::with(seed, |options| {
            options.preemption_delay = Duration::from_secs(5);
            options.preemption_initial_delay = Some(Duration::from_secs(5));
            options.preemption_interval = Duration::from_secs(5);
            options.sla.min_instances = 3;
        });
        let rng = &mut Rng::from_seed(seed + 1_000);
        for role in ["x", "y"] {
            let (role, quota) = (role.to_owned(), total().times(2));
            let set = AdminCommand::SetQuota { role, quota };
            world.command(None, &Command::Admin(set));
        }
        for number in 0..5 {
            let name = format!("a{number}");
            let fake = world.agents.entry(AgentId::new(&name)).or_default();
            fake.attributes = vec![Attribute {
                name: "rack".into(),
                values: BTreeSet::from([format!("r{}", number / 2)]),
            }];
            world.agent_up(&name);
        }
        for step in 0..120 {
            match rng.below(12) {
                0..=2 => {
                    let config = random_config(rng, step);
                    world.command(
                        None,
                        &create(config, 1 + u32::try_from(rng.below(6)).unwrap()),
                    );
                }
                3 => {
                    let jobs: Vec<_> = world.tables().jobs().cloned().collect();
                    if !jobs.is_empty() {
                        let job = jobs[rng.index(jobs.len())].clone();
                        world.command(
                            None,
                            &Command::KillTasks {
                                job,
                                instances: BTreeSet::new(),
                                message: None,
                                user: "u".into(),
                            },
                        );
                    }
                }
                4 => world.all_go(TaskState::Starting, TaskState::Running),
                5 => {
                    let hosts = BTreeSet::from([format!("a{}", rng.below(5))]);
                    let command = match rng.below(3) {
                        0 => AdminCommand::DrainHosts {
                            hosts,
                            default_policy: crate::model::SlaPolicy::Percentage {
                                milli_percent: 50_000,
                                duration_secs: 2,
                            },
                            timeout_secs: 60,
                        },
                        1 => AdminCommand::StartMaintenance { hosts },
                        _ => AdminCommand::EndMaintenance { hosts },
                    };
                    world.command(None, &Command::Admin(command));
                }
                6 if rng.one_in(6) => {
                    let learned = rng.index(world.appending.len() + 1);
                    world.crash(learned);
                    for number in 0..5 {
                        world.agent_up(&format!("a{number}"));
                    }
                }
                7..=8 => {
                    world.pass(Duration::from_millis(rng.below(20_000)));
                    world.turn();
                }
                _ => {
                    for _ in 0..rng.below(20) {
                        world.learn();
                        world.deliver();
                    }
                }
            }
            check(&world, seed);
        }
        run_all(&mut world);
        check(&world, seed);
    }
}

#[test]
fn a_search_in_vain_by_a_limit_is_repeated_once_the_limit_holds_no_more() {
    let mut world = World::new(3);
    quota(&mut world);
    for name in ["a", "b"] {
        let agent = world.agents.entry(AgentId::new(name)).or_default();
        agent.attributes = vec![Attribute {
            name: "rack".into(),
            values: BTreeSet::from(["one".to_owned()]),
        }];
        world.agent_up(name);
    }
    world.command(None, &create(sized("low", 990, false), 8));
    run_all(&mut world);
    assert_eq!(count(&world, "low", S::Running), 8);
    let mut high = sized("high", 1_500, true);
    high.constraints.insert(Constraint {
        name: "rack".into(),
        kind: ConstraintKind::Limit(1),
    });
    world.command(None, &create(high, 2));
    let wait = |world: &mut World| {
        for _ in 0..10 {
            world.pass(Duration::from_secs(60));
            run_all(world);
        }
    };
    wait(&mut world);
    let states = |world: &World| [S::Running, S::Pending, S::Lost].map(|s| count(world, "high", s));
    assert_eq!(states(&world), [1, 1, 0]);
    let searches = |world: &World| {
        let counters = world.engine.view().counters;
        counters["preemptor_slot_search_attempts_for_prod"]
    };
    let before = searches(&world);
    wait(&mut world);
    assert_eq!(searches(&world), before, "it is known to be in vain");
    // The one that is placed goes with its machine: nothing changes about the other machine.
    let tables = world.tables();
    let high = key("high");
    let mut placed = tables.active_tasks_of_job(&high);
    let held = placed.find_map(|task| task.agent.clone()).unwrap();
    world.agent_down(held.as_str());
    wait(&mut world);
    assert_eq!(states(&world), [1, 1, 1]);
}

/// To know that a limit still holds takes a look at all tasks of the job.
#[test]
fn limits_that_still_hold_are_looked_at_for_a_few_groups_at_once() {
    let mut world = World::new(4);
    world.agent_up("a");
    for number in 0..10 {
        let mut vain = sized(&format!("vain{number}"), 1_000_000, false);
        vain.constraints.insert(Constraint {
            name: "host".into(),
            kind: ConstraintKind::Limit(1),
        });
        world.command(None, &create(vain, 1));
    }
    for _ in 0..10 {
        world.pass(Duration::from_secs(60));
        run_all(&mut world);
    }
    let attempts = |world: &World| {
        let name = "preemptor_slot_search_attempts_for_non_prod";
        world.engine.counted(name)
    };
    let before = attempts(&world);
    let goes_on = |world: &World| {
        let soon = world.now.mono + Duration::from_millis(20);
        world
            .engine
            .timers
            .deadline()
            .is_some_and(|next| next <= soon)
    };
    assert!(!goes_on(&world));
    world.engine.search_slots(world.now);
    assert!(goes_on(&world), "all in one go");
    assert_eq!(attempts(&world), before, "they are known to be in vain");
}

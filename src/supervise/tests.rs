//! Stories of single tasks, and random tasks whose processes end at random.

use super::*;
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use crate::model::TaskState;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn process(name: &str) -> ProcessDefinition {
    ProcessDefinition {
        name: name.to_owned(),
        cmdline: String::new(),
        max_failures: 1,
        daemon: false,
        ephemeral: false,
        min_duration: Duration::from_secs(5),
        is_final: false,
    }
}

fn task(processes: Vec<ProcessDefinition>) -> TaskDefinition {
    TaskDefinition {
        processes,
        orders: Vec::new(),
        max_failures: 1,
        max_concurrency: 0,
        finalization_wait: Duration::from_secs(30),
        kill_wait: Duration::from_secs(60),
        lifecycle: None,
        health: None,
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A supervisor and a world that does what it says.
struct World {
    supervisor: Supervisor,
    now: Instant,
    running: BTreeSet<Run>,
    /// Orphans that need SIGKILL.
    orphans: u32,
    /// Process indexes that ignore SIGTERM.
    stubborn: BTreeSet<usize>,
    starts: Vec<(usize, Instant)>,
    reports: Vec<(TaskState, Option<String>)>,
    posts: Vec<Endpoint>,
    checks: u32,
    is_over: bool,
}

impl World {
    fn new(definition: TaskDefinition) -> Self {
        let now = Instant::from_nanos(1_000_000_000);
        let supervisor = Supervisor::new(definition, now).unwrap();
        let mut world = Self {
            supervisor,
            now,
            running: BTreeSet::new(),
            orphans: 0,
            stubborn: BTreeSet::new(),
            starts: Vec::new(),
            reports: Vec::new(),
            posts: Vec::new(),
            checks: 0,
            is_over: false,
        };
        world.settle();
        world
    }

    fn settle(&mut self) {
        while let Some(effect) = self.supervisor.poll_effect() {
            assert!(!self.is_over, "{effect:?} after the end");
            match effect {
                Effect::CheckHealth => self.checks += 1,
                Effect::End => self.is_over = true,
                Effect::KillAll => {
                    self.orphans = 0;
                    for run in std::mem::take(&mut self.running) {
                        self.supervisor.handle_exit(self.now, run, Exit::Signal(9));
                    }
                }
                Effect::Post(endpoint) => self.posts.push(endpoint),
                Effect::Report { state, message } => self.reports.push((state, message)),
                Effect::Start(run) => {
                    assert!(self.running.insert(run), "{run:?} twice");
                    self.starts.push((run.process, self.now));
                    self.supervisor.handle_started(self.now, run);
                }
                Effect::StopChecks | Effect::Sweep { .. } | Effect::TerminateOrphans => {}
                Effect::Terminate(run) => {
                    let dies = !self.stubborn.contains(&run.process);
                    if dies && self.running.remove(&run) {
                        self.supervisor.handle_exit(self.now, run, Exit::Signal(15));
                    }
                }
            }
            if self.running.is_empty() && self.orphans == 0 {
                self.supervisor.handle_childless(self.now);
            }
        }
    }

    fn exit(&mut self, process: usize, exit: Exit) {
        let run = *self
            .running
            .iter()
            .find(|run| run.process == process)
            .unwrap();
        self.running.remove(&run);
        self.supervisor.handle_exit(self.now, run, exit);
        if self.running.is_empty() && self.orphans == 0 {
            self.supervisor.handle_childless(self.now);
        }
        self.settle();
    }

    /// Goes to the next deadline; false if there is none.
    fn tick(&mut self) -> bool {
        let Some(deadline) = self.supervisor.deadline() else {
            return false;
        };
        self.now = self.now.max(deadline);
        self.supervisor.handle_timeout(self.now);
        self.settle();
        true
    }

    fn kill(&mut self) {
        self.supervisor.kill(self.now, KillReason::Instructed);
        self.settle();
    }

    fn runs(&self) -> Vec<usize> {
        self.running.iter().map(|run| run.process).collect()
    }

    fn end(&self) -> TaskState {
        assert!(self.is_over, "not over: {:?}", self.reports);
        self.reports.last().unwrap().0
    }
}

#[test]
fn rules_of_planning_are_checked() {
    let refuse = |change: &dyn Fn(&mut TaskDefinition)| {
        let mut definition = task(vec![process("a"), process("b"), process("c")]);
        change(&mut definition);
        Supervisor::new(definition, Instant::ZERO).unwrap_err()
    };
    assert_eq!(
        refuse(&|task| task.orders = vec![names(&["a", "b"]), names(&["b", "c", "a"])]),
        DefinitionError::Cycle("a".to_owned())
    );
    assert!(matches!(
        refuse(&|task| {
            task.processes[0].daemon = true;
            task.orders = vec![names(&["a", "b"])];
        }),
        DefinitionError::DependsOnDaemon { .. }
    ));
    assert!(matches!(
        refuse(&|task| {
            task.processes[0].ephemeral = true;
            task.orders = vec![names(&["a", "b"])];
        }),
        DefinitionError::DependsOnEphemeral { .. }
    ));
    assert!(matches!(
        refuse(&|task| {
            task.processes[1].is_final = true;
            task.orders = vec![names(&["a", "b"])];
        }),
        DefinitionError::MixedOrder(..)
    ));
    assert_eq!(
        refuse(&|task| task.orders = vec![names(&["a", "x"])]),
        DefinitionError::UnknownProcess("x".to_owned())
    );
    assert_eq!(
        refuse(&|task| task.processes[1].name = "a".to_owned()),
        DefinitionError::Duplicate("a".to_owned())
    );
    assert_eq!(
        refuse(&|task| task.processes.clear()),
        DefinitionError::NoProcess
    );
    for name in ["", "..", ".logs", "a/b", "a\0"] {
        assert!(matches!(
            refuse(&|task| task.processes[0].name = name.to_owned()),
            DefinitionError::UnsafeName(_)
        ));
    }
}

#[test]
fn processes_start_in_their_order_and_the_task_finishes() {
    let mut definition = task(vec![process("b"), process("a"), process("free")]);
    definition.orders = vec![names(&["a", "b"])];
    let mut world = World::new(definition);
    assert_eq!(world.runs(), [1, 2]);
    world.exit(1, Exit::Code(0));
    assert_eq!(world.runs(), [0, 2]);
    world.exit(2, Exit::Code(0));
    world.exit(0, Exit::Code(0));
    assert_eq!(world.end(), TaskState::Finished);
    let states: Vec<TaskState> = world.reports.iter().map(|it| it.0).collect();
    let expected = [TaskState::Starting, TaskState::Running, TaskState::Finished];
    assert_eq!(states, expected);
}

#[test]
fn a_failure_is_tried_again_after_min_duration_until_the_limit() {
    let mut one = process("a");
    one.max_failures = 3;
    let mut world = World::new(task(vec![one]));
    for _ in 0..2 {
        world.exit(0, Exit::Code(1));
        assert!(world.runs().is_empty());
        assert!(world.tick());
        assert_eq!(world.runs(), [0]);
    }
    world.exit(0, Exit::Code(1));
    assert_eq!(world.end(), TaskState::Failed);
    let gaps = world.starts.windows(2).map(|it| it[1].1 - it[0].1);
    assert!(gaps.into_iter().all(|gap| gap == Duration::from_secs(5)));
}

#[test]
fn a_killed_run_does_not_count_as_failure_but_ends_at_a_hundred() {
    let mut world = World::new(task(vec![process("a")]));
    for _ in 0..99 {
        world.exit(0, Exit::Signal(9));
        assert!(world.tick());
    }
    assert!(!world.is_over);
    world.exit(0, Exit::Signal(9));
    assert_eq!(world.end(), TaskState::Failed);
    assert_eq!(world.starts.len(), 100);
}

#[test]
fn a_daemon_runs_again_after_success_and_ephemerals_are_not_waited_for() {
    let mut again = process("again");
    again.daemon = true;
    again.ephemeral = true;
    let mut world = World::new(task(vec![again, process("main")]));
    world.exit(0, Exit::Code(0));
    assert!(world.tick());
    assert_eq!(world.runs(), [0, 1]);
    world.exit(1, Exit::Code(0));
    assert_eq!(world.end(), TaskState::Finished);
}

#[test]
fn an_exhausted_ephemeral_counts_as_finished() {
    let (mut first, mut then) = (process("first"), process("then"));
    first.ephemeral = true;
    then.ephemeral = true;
    let mut definition = task(vec![first, then, process("main")]);
    definition.orders = vec![names(&["first", "then"])];
    let mut world = World::new(definition);
    world.exit(0, Exit::Code(1));
    assert_eq!(world.runs(), [1, 2]);
}

#[test]
fn a_failed_process_blocks_what_waits_for_it() {
    let mut definition = task(vec![process("a"), process("b")]);
    definition.orders = vec![names(&["a", "b"])];
    definition.max_failures = 0;
    let mut world = World::new(definition);
    world.exit(0, Exit::Code(1));
    assert_eq!(world.end(), TaskState::Failed);
    assert_eq!(world.starts.len(), 1);
}

#[test]
fn tolerated_failures_do_not_fail_the_task() {
    let mut definition = task(vec![process("a"), process("b"), process("c")]);
    definition.max_failures = 2;
    let mut world = World::new(definition);
    world.exit(0, Exit::Code(1));
    world.exit(1, Exit::Code(0));
    world.exit(2, Exit::Code(0));
    assert_eq!(world.end(), TaskState::Finished);
}

#[test]
fn a_failed_task_ends_what_still_runs() {
    let mut world = World::new(task(vec![process("a"), process("b")]));
    world.exit(0, Exit::Code(1));
    assert_eq!(world.end(), TaskState::Failed);
    assert!(world.running.is_empty());
}

#[test]
fn concurrency_is_limited() {
    let mut definition = task(vec![process("a"), process("b"), process("c")]);
    definition.max_concurrency = 2;
    let mut world = World::new(definition);
    assert_eq!(world.runs(), [0, 1]);
    world.exit(0, Exit::Code(0));
    assert_eq!(world.runs(), [1, 2]);
}

#[test]
fn final_processes_run_last_and_cannot_fail_the_task() {
    let mut last = process("last");
    last.is_final = true;
    let mut world = World::new(task(vec![last, process("main")]));
    assert_eq!(world.runs(), [1]);
    world.exit(1, Exit::Code(0));
    assert_eq!(world.runs(), [0]);
    world.exit(0, Exit::Code(1));
    assert_eq!(world.end(), TaskState::Finished);
}

#[test]
fn final_processes_are_skipped_when_cleaning_takes_the_whole_budget() {
    let mut last = process("last");
    last.is_final = true;
    let mut slow = process("slow");
    slow.ephemeral = true;
    let mut world = World::new(task(vec![last, process("main"), slow]));
    world.stubborn.insert(2);
    let before = world.now;
    world.exit(1, Exit::Code(0));
    while !world.is_over {
        assert!(world.tick());
    }
    assert_eq!(world.end(), TaskState::Finished);
    assert_eq!(world.starts.len(), 2);
    assert_eq!(world.now - before, Duration::from_secs(30));
}

#[test]
fn a_kill_replaces_the_budget_and_orphans_are_waited_for() {
    let mut world = World::new(task(vec![process("main")]));
    world.orphans = 1;
    let before = world.now;
    world.kill();
    assert!(!world.is_over);
    world.kill();
    while !world.is_over {
        assert!(world.tick());
    }
    assert_eq!(world.end(), TaskState::Killed);
    assert_eq!(world.now - before, Duration::from_secs(60));
    let message = world.reports.last().unwrap().1.as_deref();
    assert_eq!(message, Some("Instructed to kill task."));
}

#[test]
fn shutdown_endpoints_are_asked_before_signals() {
    let mut definition = task(vec![process("main")]);
    definition.lifecycle = Some(Lifecycle {
        graceful_wait: Duration::from_secs(5),
        shutdown_wait: Duration::from_secs(7),
    });
    let mut world = World::new(definition.clone());
    let before = world.now;
    world.kill();
    assert_eq!(world.posts, [Endpoint::Quit]);
    world.supervisor.handle_posted(world.now, true);
    assert!(world.tick());
    assert_eq!(world.now - before, Duration::from_secs(5));
    assert_eq!(world.posts, [Endpoint::Quit, Endpoint::Abort]);
    assert_eq!(world.runs(), [0]);
    world.supervisor.handle_posted(world.now, true);
    assert!(world.tick());
    assert_eq!(world.now - before, Duration::from_secs(12));
    assert_eq!(world.end(), TaskState::Killed);
    // One that ends when asked is not signalled, and one that cannot be asked is not waited for.
    let mut world = World::new(definition.clone());
    world.kill();
    world.supervisor.handle_posted(world.now, true);
    world.exit(0, Exit::Code(0));
    assert_eq!(world.end(), TaskState::Killed);
    let mut world = World::new(definition);
    let before = world.now;
    world.kill();
    for _ in 0..2 {
        world.supervisor.handle_posted(world.now, false);
        world.settle();
    }
    assert_eq!(world.end(), TaskState::Killed);
    assert_eq!(world.now, before);
}

#[test]
fn a_task_with_health_checks_runs_when_they_say_so_and_ends_when_they_do() {
    let mut definition = task(vec![process("main")]);
    definition.health = Some(HealthPolicy {
        interval: Duration::from_secs(10),
        grace_checks: 0,
        max_consecutive_failures: 1,
        min_consecutive_successes: 1,
    });
    let mut world = World::new(definition);
    assert_eq!((world.reports.len(), world.checks), (1, 1));
    world.supervisor.handle_checked(world.now, None);
    world.settle();
    assert_eq!(world.reports[1].1.as_deref(), Some("Task is healthy."));
    for round in 2..4 {
        assert!(world.tick());
        assert_eq!(world.checks, round);
        world
            .supervisor
            .handle_checked(world.now, Some("no".to_owned()));
        world.settle();
    }
    assert_eq!(world.end(), TaskState::Failed);
    let message = world.reports.last().unwrap().1.as_deref();
    assert_eq!(message, Some("Failed health check! no"));
}

fn any_process() -> impl Strategy<Value = ProcessDefinition> {
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    (0..4u32, flags, 0..3u64).prop_map(|(max_failures, (daemon, ephemeral, is_final), secs)| {
        ProcessDefinition {
            max_failures,
            daemon,
            ephemeral,
            is_final,
            min_duration: Duration::from_secs(secs),
            ..process("")
        }
    })
}

fn any_task() -> impl Strategy<Value = TaskDefinition> {
    let processes = prop::collection::vec(any_process(), 1..6);
    let order = prop::collection::vec(0..6usize, 0..4);
    let orders = prop::collection::vec(order, 0..3);
    (processes, orders, 0..3u32, 0..3usize, any::<bool>()).prop_map(
        |(mut processes, orders, max_failures, max_concurrency, asks)| {
            for (at, process) in processes.iter_mut().enumerate() {
                process.name = at.to_string();
            }
            let mut definition = task(processes);
            definition.max_failures = max_failures;
            definition.max_concurrency = max_concurrency;
            definition.lifecycle = asks.then_some(Lifecycle {
                graceful_wait: Duration::from_secs(5),
                shutdown_wait: Duration::from_secs(5),
            });
            // Orders that break a rule of planning are left out, one by one.
            for order in orders {
                let kept = definition.orders.clone();
                definition
                    .orders
                    .push(order.iter().map(usize::to_string).collect());
                if Supervisor::new(definition.clone(), Instant::ZERO).is_err() {
                    definition.orders = kept;
                }
            }
            definition
        },
    )
}

/// Lives a whole task at random; gives the world at its end.
fn live(definition: TaskDefinition, seed: u64) -> World {
    let mut rng = Rng::from_seed(seed);
    let mut world = World::new(definition);
    let kill_after = rng.below(2_000);
    for step in 0.. {
        assert!(step < 20_000, "the task does not end");
        if world.is_over {
            break;
        }
        world.supervisor.check_invariants();
        if step == kill_after {
            world.kill();
        }
        if rng.one_in(10) {
            let reached = rng.one_in(2);
            world.supervisor.handle_posted(world.now, reached);
            world.settle();
        }
        if rng.one_in(30) {
            world.orphans += 1;
        }
        if rng.one_in(20) {
            world.stubborn.insert(rng.index(6));
        }
        let runs = world.runs();
        if !runs.is_empty() && !rng.one_in(3) {
            let exit = match rng.below(4) {
                0 => Exit::Code(1),
                1 => Exit::Signal(9),
                _ => Exit::Code(0),
            };
            let process = runs[rng.index(runs.len())];
            world.exit(process, exit);
        } else {
            world.tick();
        }
    }
    world
}

proptest! {
    #[test]
    fn every_task_ends_once_with_nothing_left(definition in any_task(), seed in any::<u64>()) {
        let world = live(definition.clone(), seed);
        prop_assert!(world.running.is_empty());
        let terminal = world.reports.iter().filter(|it| it.0.is_terminal()).count();
        prop_assert_eq!(terminal, 1);
        prop_assert!(world.reports.last().unwrap().0.is_terminal());
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for (process, _) in &world.starts {
            *counts.entry(*process).or_default() += 1;
        }
        prop_assert!(counts.values().all(|count| *count <= 100));
        for (process, definition) in definition.processes.iter().enumerate() {
            let starts: Vec<Instant> = world.starts.iter().filter(|it| it.0 == process).map(|it| it.1).collect();
            for pair in starts.windows(2) {
                prop_assert!(pair[1] - pair[0] >= definition.min_duration);
            }
        }
    }
}

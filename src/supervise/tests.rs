//! Stories of single tasks, and random tasks whose processes end at random.

use super::*;
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use crate::model::TaskState;
use proptest::prelude::*;
use std::collections::BTreeSet;
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
        checks: Vec::new(),
    }
}

fn check(interval: u64, failures: u32, successes: u32) -> StatusCheck {
    StatusCheck {
        failure: "Failed health check! ",
        policy: HealthPolicy {
            interval: Duration::from_secs(interval),
            grace_checks: 0,
            max_consecutive_failures: failures,
            min_consecutive_successes: successes,
        },
    }
}

/// What happened, for the judge of the random tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Checked(CheckId, bool),
    End(usize, Exit),
    Kill,
    NotStarted(usize),
    Report(TaskState),
    Start(Run),
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
    /// Checks whose result is awaited.
    open: BTreeSet<CheckId>,
    /// Process indexes that cannot be started.
    unstartable: BTreeSet<usize>,
    trace: Vec<(Instant, Event)>,
    is_over: bool,
}

impl World {
    fn new(definition: TaskDefinition) -> Self {
        Self::with_unstartable(definition, [])
    }

    fn with_unstartable<const N: usize>(
        definition: TaskDefinition,
        unstartable: [usize; N],
    ) -> Self {
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
            open: BTreeSet::new(),
            unstartable: unstartable.into(),
            trace: Vec::new(),
            is_over: false,
        };
        world.settle();
        world
    }

    fn note(&mut self, event: Event) {
        self.trace.push((self.now, event));
    }

    fn end_run(&mut self, run: Run, exit: Exit) {
        self.note(Event::End(run.process, exit));
        self.supervisor.handle_exit(self.now, run, exit);
    }

    fn answer(&mut self, id: usize, failure: Option<&str>) {
        self.open.remove(&CheckId(id));
        self.note(Event::Checked(CheckId(id), failure.is_none()));
        let failure = failure.map(str::to_owned);
        self.supervisor
            .handle_checked(self.now, CheckId(id), failure);
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(effect) = self.supervisor.poll_effect() {
            assert!(!self.is_over, "{effect:?} after the end");
            match effect {
                Effect::Check(check) => {
                    self.checks += 1;
                    assert!(self.open.insert(check), "{check:?} is under way");
                }
                Effect::End => self.is_over = true,
                Effect::KillAll => {
                    self.orphans = 0;
                    for run in std::mem::take(&mut self.running) {
                        self.end_run(run, Exit::Signal(9));
                    }
                }
                Effect::Post(endpoint) => self.posts.push(endpoint),
                Effect::Report { state, message } => {
                    self.note(Event::Report(state));
                    self.reports.push((state, message));
                }
                Effect::Start(run) => {
                    self.note(Event::Start(run));
                    self.starts.push((run.process, self.now));
                    if self.unstartable.contains(&run.process) {
                        self.note(Event::NotStarted(run.process));
                        self.supervisor.handle_start_failed(self.now, run);
                    } else {
                        assert!(self.running.insert(run), "{run:?} twice");
                        self.supervisor.handle_started(self.now, run);
                    }
                }
                Effect::StopChecks => self.open.clear(),
                Effect::Sweep { .. } | Effect::TerminateOrphans => {}
                Effect::Terminate(run) => {
                    let dies = !self.stubborn.contains(&run.process);
                    if dies && self.running.remove(&run) {
                        self.end_run(run, Exit::Signal(15));
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
        self.end_run(run, exit);
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
        self.note(Event::Kill);
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
    definition.checks = vec![check(10, 1, 1)];
    let mut world = World::new(definition);
    assert_eq!((world.reports.len(), world.checks), (1, 1));
    world.answer(0, None);
    assert_eq!(world.reports[1].1.as_deref(), Some("Task is healthy."));
    for round in 2..4 {
        assert!(world.tick());
        assert_eq!(world.checks, round);
        world.answer(0, Some("no"));
    }
    assert_eq!(world.end(), TaskState::Failed);
    let message = world.reports.last().unwrap().1.as_deref();
    assert_eq!(message, Some("Failed health check! no"));
}

#[test]
fn a_task_with_several_checks_runs_when_all_are_good_and_fails_when_one_is_not() {
    let mut definition = task(vec![process("main")]);
    let announced = StatusCheck {
        failure: "",
        ..check(1, 0, 2)
    };
    definition.checks = vec![check(10, 0, 1), announced];
    let mut world = World::new(definition);
    assert_eq!((world.reports.len(), world.checks), (1, 2));
    world.answer(0, None);
    world.answer(1, None);
    assert_eq!(world.reports.len(), 1, "one of them needs a second success");
    assert!(world.tick());
    world.answer(1, None);
    assert_eq!(world.reports[1].0, TaskState::Running);
    assert!(world.tick());
    world.answer(1, Some("Not announced."));
    assert_eq!(world.end(), TaskState::Failed);
    let message = world.reports.last().unwrap().1.as_deref();
    assert_eq!(message, Some("Not announced."));
}

#[test]
fn a_check_under_way_is_not_begun_again_by_the_next_start() {
    let mut again = process("main");
    again.max_failures = 0;
    again.min_duration = Duration::ZERO;
    let mut definition = task(vec![again]);
    definition.checks = vec![check(10, 5, 1)];
    let mut world = World::new(definition);
    world.exit(0, Exit::Code(1));
    assert_eq!((world.starts.len(), world.checks), (2, 1));
    world.answer(0, None);
    assert_eq!(world.reports[1].0, TaskState::Running);
}

#[test]
fn a_failed_task_names_the_process_and_how_it_ended() {
    let message = |world: &World| world.reports.last().unwrap().1.clone().unwrap();
    let mut world = World::new(task(vec![process("main")]));
    world.exit(0, Exit::Code(3));
    let expected = "Task failed. Process 'main' failed with status 3.";
    assert_eq!(message(&world), expected);
    let mut twice = process("main");
    twice.max_failures = 2;
    let mut definition = task(vec![twice, process("other")]);
    definition.max_failures = 2;
    let mut world = World::new(definition);
    world.exit(1, Exit::Code(4));
    world.exit(0, Exit::Code(1));
    while !world.runs().contains(&0) {
        assert!(world.tick());
    }
    world.exit(0, Exit::Code(2));
    let expected = "Task failed. Process 'main' failed with status 2 in the last of 2 failed runs, \
                    and one more process failed.";
    assert_eq!(message(&world), expected);
    let mut definition = task(vec![process("main")]);
    definition.processes[0].max_failures = 0;
    let mut world = World::new(definition);
    for _ in 0..100 {
        world.exit(0, Exit::Signal(9));
        world.tick();
    }
    let expected = "Task failed. Process 'main' ran 100 times, which is the limit.";
    assert_eq!(message(&world), expected);
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
    let any_check = (1..20u64, 0..3u32, 1..3u32);
    let checks = prop::collection::vec(any_check.prop_map(|(a, b, c)| check(a, b, c)), 0..3);
    let rest = (0..3u32, 0..3usize, any::<bool>());
    (processes, orders, checks, rest).prop_map(
        |(mut processes, orders, checks, (max_failures, max_concurrency, asks))| {
            for (at, process) in processes.iter_mut().enumerate() {
                process.name = at.to_string();
            }
            let mut definition = task(processes);
            definition.checks = checks;
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
        let open: Vec<CheckId> = world.open.iter().copied().collect();
        for id in open {
            if rng.one_in(3) {
                let failure = rng.one_in(12).then_some("no");
                world.answer(id.0, failure);
            }
        }
        if world.is_over {
            break;
        }
        if rng.one_in(30) {
            world.orphans += 1;
        }
        if rng.one_in(200) {
            world.unstartable.insert(rng.index(6));
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

/// What a process has come to, counted from the trace alone.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    starts: u32,
    failures: u32,
    runs: bool,
    finished: bool,
    failed: bool,
    ended_at: Option<Instant>,
}

/// The rules of the specification, held against what happened; knows nothing of the supervisor.
struct Judge<'a> {
    definition: &'a TaskDefinition,
    seen: Vec<Seen>,
    good: Vec<u32>,
    bad: Vec<u32>,
    /// No regular process may start any more.
    is_ending: bool,
    must_be: Option<TaskState>,
}

impl Judge<'_> {
    fn regular(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.seen.len()).filter(|at| !self.definition.processes[*at].is_final)
    }

    fn is_complete(&self) -> bool {
        let counts = |at: &usize| !self.definition.processes[*at].ephemeral;
        let mut all = self.regular().filter(counts);
        all.all(|at| self.seen[at].finished || self.seen[at].failed)
    }

    fn has_too_many_failures(&self) -> bool {
        let failed = self.regular().filter(|at| self.seen[*at].failed).count();
        let limit = self.definition.max_failures as usize;
        limit != 0 && failed >= limit
    }

    fn start(&mut self, now: Instant, run: Run) {
        let at = run.process;
        let process = &self.definition.processes[at];
        let seen = self.seen[at];
        assert!(
            !seen.runs && !seen.finished && !seen.failed,
            "{run:?} {seen:?}"
        );
        assert_eq!(run.number, seen.starts);
        assert!(seen.starts < 100);
        let rest = seen
            .ended_at
            .is_none_or(|end| now - end >= process.min_duration);
        assert!(rest, "{run:?} comes too soon");
        let running = self.seen.iter().filter(|it| it.runs).count();
        let limit = self.definition.max_concurrency;
        assert!(limit == 0 || running < limit, "{run:?} is one too many");
        for order in &self.definition.orders {
            for pair in order.windows(2).filter(|pair| pair[1] == process.name) {
                let first: usize = pair[0].parse().unwrap();
                assert!(
                    self.seen[first].finished,
                    "{run:?} before {first} has finished"
                );
            }
        }
        if process.is_final {
            assert!(
                self.regular().all(|at| !self.seen[at].runs),
                "{run:?} too early"
            );
            self.is_ending = true;
        } else {
            assert!(!self.is_ending, "{run:?} while the task ends");
            assert!(
                !self.is_complete() && !self.has_too_many_failures(),
                "{run:?} for nothing"
            );
        }
        self.seen[at].starts += 1;
        self.seen[at].runs = true;
    }

    fn end(&mut self, now: Instant, at: usize, exit: Exit) {
        let process = &self.definition.processes[at];
        let seen = &mut self.seen[at];
        assert!(seen.runs);
        seen.runs = false;
        seen.ended_at = Some(now);
        match exit {
            Exit::Code(0) => seen.finished = !process.daemon,
            Exit::Code(_) => {
                seen.failures += 1;
                let is_spent = process.max_failures != 0 && seen.failures >= process.max_failures;
                seen.finished = is_spent && process.ephemeral;
                seen.failed = is_spent && !process.ephemeral;
            }
            Exit::Signal(_) => {}
        }
        seen.failed |= !seen.finished && seen.starts >= 100;
    }

    fn checked(&mut self, id: CheckId, is_good: bool) {
        let policy = self.definition.checks[id.0].policy;
        if is_good {
            self.bad[id.0] = 0;
            self.good[id.0] += 1;
            return;
        }
        self.bad[id.0] += 1;
        if self.bad[id.0] > policy.max_consecutive_failures && !self.is_over_by_itself() {
            self.is_ending = true;
            self.must_be.get_or_insert(TaskState::Failed);
        }
    }

    /// The plan has come to its end, well or not, whatever is asked of it.
    fn is_over_by_itself(&self) -> bool {
        self.is_ending || self.is_complete() || self.has_too_many_failures()
    }

    fn report(&mut self, state: TaskState) {
        match state {
            TaskState::Running => {
                let mut checks = self.definition.checks.iter().zip(&self.good);
                let is_good = |(check, good): (&StatusCheck, &u32)| {
                    *good >= check.policy.min_consecutive_successes
                };
                assert!(checks.all(is_good), "RUNNING before it is healthy");
            }
            TaskState::Starting => {}
            end => {
                assert!(
                    self.seen.iter().all(|it| !it.runs),
                    "{end:?} while something runs"
                );
                assert!(
                    self.must_be.is_none_or(|it| it == end),
                    "{end:?}: {:?}",
                    self.must_be
                );
                let is_good = self.is_complete() && !self.has_too_many_failures();
                assert!(end != TaskState::Finished || is_good, "FINISHED and is not");
            }
        }
    }
}

fn judge(definition: &TaskDefinition, world: &World) {
    let mut judge = Judge {
        definition,
        seen: vec![Seen::default(); definition.processes.len()],
        good: vec![0; definition.checks.len()],
        bad: vec![0; definition.checks.len()],
        is_ending: false,
        must_be: None,
    };
    let mut killed_at = None;
    for (now, event) in &world.trace {
        match *event {
            Event::Checked(id, is_good) => judge.checked(id, is_good),
            Event::End(at, exit) => judge.end(*now, at, exit),
            Event::Kill if judge.is_over_by_itself() => {}
            Event::Kill => {
                killed_at = Some(*now);
                judge.is_ending = true;
                judge.must_be = Some(TaskState::Killed);
            }
            Event::NotStarted(at) => judge.end(*now, at, Exit::Code(1)),
            Event::Report(state) => judge.report(state),
            Event::Start(run) => judge.start(*now, run),
        }
    }
    let states: Vec<TaskState> = world.reports.iter().map(|it| it.0).collect();
    assert_eq!(states[0], TaskState::Starting);
    let middle = &states[1..states.len() - 1];
    assert!(
        middle.is_empty() || middle == [TaskState::Running],
        "{states:?}"
    );
    assert!(states.last().unwrap().is_terminal());
    assert!(
        !states.contains(&TaskState::Killed) || world.trace.iter().any(|it| it.1 == Event::Kill)
    );
    if let Some(killed_at) = killed_at {
        let asks = definition
            .lifecycle
            .map_or(Duration::ZERO, |it| it.graceful_wait + it.shutdown_wait);
        let took = world.now - killed_at;
        assert!(took <= asks + definition.kill_wait, "a kill took {took:?}");
    }
}

proptest! {
    #[test]
    fn every_task_ends_once_with_nothing_left(definition in any_task(), seed in any::<u64>()) {
        let world = live(definition.clone(), seed);
        prop_assert!(world.running.is_empty() && world.is_over);
        judge(&definition, &world);
    }
}

/// Found by the property above: two processes are due together, the first cannot be started for the hundredth time.
#[test]
fn nothing_starts_once_the_task_is_ending() {
    let mut definition = task(vec![process("0"), process("1")]);
    definition.processes[0].max_failures = 1;
    let mut world = World::new(definition.clone());
    assert_eq!(world.starts.len(), 2);
    world = World::with_unstartable(definition, [0]);
    assert_eq!(world.starts.iter().map(|it| it.0).collect::<Vec<_>>(), [0]);
    while !world.is_over {
        assert!(world.tick(), "nothing moves");
    }
    assert_eq!(world.end(), TaskState::Failed);
}

//! Random tasks lived to their end, and a judge that knows the specification only.

use super::world::{Event, World, check, task};
use super::*;

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

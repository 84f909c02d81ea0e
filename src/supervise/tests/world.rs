//! A world that does what a supervisor says, with time of its own.

use super::*;

pub(super) fn process(name: &str) -> ProcessDefinition {
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

pub(super) fn task(processes: Vec<ProcessDefinition>) -> TaskDefinition {
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

pub(super) fn check(interval: u64, failures: u32, successes: u32) -> StatusCheck {
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
pub(super) enum Event {
    Checked(CheckId, bool),
    End(usize, Exit),
    Kill,
    NotStarted(usize),
    Report(TaskState),
    Start(Run),
}

pub(super) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A supervisor and a world that does what it says.
pub(super) struct World {
    pub(super) supervisor: Supervisor,
    pub(super) now: Instant,
    pub(super) running: BTreeSet<Run>,
    /// Orphans that need SIGKILL.
    pub(super) orphans: u32,
    /// Whether they hang in the kernel and survive even that.
    pub(super) is_hanging: bool,
    /// Rounds of SIGKILL to everybody.
    pub(super) kill_rounds: u32,
    /// Process indexes that ignore SIGTERM.
    pub(super) stubborn: BTreeSet<usize>,
    pub(super) starts: Vec<(usize, Instant)>,
    pub(super) reports: Vec<(TaskState, Option<String>)>,
    pub(super) posts: Vec<Endpoint>,
    pub(super) checks: u32,
    /// Checks whose result is awaited.
    pub(super) open: BTreeSet<CheckId>,
    /// Process indexes that cannot be started.
    pub(super) unstartable: BTreeSet<usize>,
    pub(super) trace: Vec<(Instant, Event)>,
    pub(super) is_over: bool,
}

impl World {
    pub(super) fn new(definition: TaskDefinition) -> Self {
        Self::with_unstartable(definition, [])
    }

    pub(super) fn with_unstartable<const N: usize>(
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
            is_hanging: false,
            kill_rounds: 0,
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

    pub(super) fn note(&mut self, event: Event) {
        self.trace.push((self.now, event));
    }

    pub(super) fn end_run(&mut self, run: Run, exit: Exit) {
        self.note(Event::End(run.process, exit));
        self.supervisor.handle_exit(self.now, run, exit);
    }

    pub(super) fn answer(&mut self, id: usize, failure: Option<&str>) {
        self.open.remove(&CheckId(id));
        self.note(Event::Checked(CheckId(id), failure.is_none()));
        let failure = failure.map(str::to_owned);
        self.supervisor
            .handle_checked(self.now, CheckId(id), failure);
        self.settle();
    }

    pub(super) fn settle(&mut self) {
        while let Some(effect) = self.supervisor.poll_effect() {
            assert!(!self.is_over, "{effect:?} after the end");
            match effect {
                Effect::Check(check) => {
                    self.checks += 1;
                    assert!(self.open.insert(check), "{check:?} is under way");
                }
                Effect::End => self.is_over = true,
                Effect::KillAll => {
                    self.kill_rounds += 1;
                    if !self.is_hanging {
                        self.orphans = 0;
                    }
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

    pub(super) fn exit(&mut self, process: usize, exit: Exit) {
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
    pub(super) fn tick(&mut self) -> bool {
        let Some(deadline) = self.supervisor.deadline() else {
            return false;
        };
        self.now = self.now.max(deadline);
        self.supervisor.handle_timeout(self.now);
        self.settle();
        true
    }

    pub(super) fn kill(&mut self) {
        self.note(Event::Kill);
        self.supervisor.kill(self.now, KillReason::Instructed);
        self.settle();
    }

    pub(super) fn runs(&self) -> Vec<usize> {
        self.running.iter().map(|run| run.process).collect()
    }

    pub(super) fn end(&self) -> TaskState {
        assert!(self.is_over, "not over: {:?}", self.reports);
        self.reports.last().unwrap().0
    }
}

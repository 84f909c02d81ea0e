//! The life of one task, from its first process to its terminal report.

use super::checks::{CheckId, Checks, News};
use super::definition::{DefinitionError, TaskDefinition};
use super::plan::{Phase, Plan, RunEnd};
use crate::base::clock::Instant;
use crate::model::TaskState;
use std::collections::VecDeque;
use std::time::Duration;

/// Between two rounds of SIGKILL while something still lives.
const KILL_ROUND: Duration = Duration::from_millis(100);
/// A process that survives SIGKILL so long hangs in the kernel; the task ends without it.
const KILL_PATIENCE: Duration = Duration::from_secs(30);

/// One run of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// The index of the process in the definition.
    pub process: usize,
    /// The number of the run, from zero.
    pub number: u32,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// The signals a supervisor sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessSignal {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Terminate,
}

/// The task's own shutdown endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The second one: end now.
    Abort,
    /// The first one: end in order.
    Quit,
}

/// Why a task is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillReason {
    /// The scheduler wants it.
    Instructed,
    /// The executor itself was told to stop.
    ShutDown,
}

impl KillReason {
    fn message(self) -> &'static str {
        match self {
            Self::Instructed => "Instructed to kill task.",
            Self::ShutDown => "Told to shut down executor.",
        }
    }
}

/// What has to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make a status check; answered by [`Supervisor::handle_checked`].
    Check(CheckId),
    /// The task is over; nothing follows.
    End,
    /// SIGKILL to every descendant.
    KillAll,
    /// Call an endpoint; answered by [`Supervisor::handle_posted`].
    Post(Endpoint),
    /// Record and report a state of the task.
    Report {
        /// The state.
        state: TaskState,
        /// Why.
        message: Option<String>,
    },
    /// Start a run; answered by `handle_started` or `handle_start_failed`.
    Start(Run),
    /// Drop the checks that are under way, if any.
    StopChecks,
    /// Signal the process group of a run whose leader just ended.
    Sweep {
        /// The run.
        run: Run,
        /// The signal.
        signal: ProcessSignal,
    },
    /// SIGTERM to the leader of a run.
    Terminate(Run),
    /// SIGTERM to the children that no run leads.
    TerminateOrphans,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Active,
    /// `until` is none while the endpoint has not answered.
    Asking {
        endpoint: Endpoint,
        until: Option<Instant>,
    },
    Cleaning {
        until: Instant,
    },
    Finalizing {
        until: Instant,
    },
    Ending {
        give_up: Instant,
        next_round: Instant,
    },
    Ended,
}

/// Supervises one task.
#[derive(Clone, Debug)]
pub struct Supervisor {
    plan: Plan,
    stage: Stage,
    effects: VecDeque<Effect>,
    checks: Checks,
    is_running: bool,
    /// No child of any kind is there, as far as was told.
    is_childless: bool,
    /// The end that was imposed on the task.
    forced: Option<(TaskState, String)>,
}

impl Supervisor {
    /// Begins a task; its first effects are there at once.
    ///
    /// # Errors
    ///
    /// The rule of planning that the definition breaks.
    pub fn new(definition: TaskDefinition, now: Instant) -> Result<Self, DefinitionError> {
        let checks = Checks::new(&definition.checks);
        let mut new = Self {
            plan: Plan::new(definition)?,
            stage: Stage::Active,
            effects: VecDeque::new(),
            checks,
            is_running: false,
            is_childless: true,
            forced: None,
        };
        new.report(TaskState::Starting, None);
        new.step(now);
        Ok(new)
    }

    /// What the task was defined as.
    pub fn definition(&self) -> &TaskDefinition {
        self.plan.definition()
    }

    /// Takes the next effect.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Supervisor::handle_timeout`] wants to be called, if at all.
    pub fn deadline(&self) -> Option<Instant> {
        let stage = match self.stage {
            Stage::Active => self.plan.next_start(Phase::Regular),
            Stage::Asking { until, .. } => until,
            Stage::Cleaning { until } => Some(until),
            Stage::Finalizing { until } => {
                let next = self.plan.next_start(Phase::Final);
                Some(next.map_or(until, |next| next.min(until)))
            }
            Stage::Ending {
                give_up,
                next_round,
            } => Some(give_up.min(next_round)),
            Stage::Ended => None,
        };
        match (stage, self.checks.deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// A run has started.
    pub fn handle_started(&mut self, now: Instant, run: Run) {
        debug_assert_eq!(self.plan.active_run(run.process), Some(run.number));
        if !self.is_running && self.stage == Stage::Active {
            if self.checks.is_empty() {
                let why = "No health-check defined, task is assumed healthy.";
                self.run_healthy(why);
            }
            self.checks.begin(now);
        }
        self.step(now);
    }

    /// A run could not be started: it counts as a failed run.
    pub fn handle_start_failed(&mut self, now: Instant, run: Run) {
        if self.plan.active_run(run.process) == Some(run.number) {
            self.plan.end_run(now, run.process, RunEnd::NotStarted);
        }
        self.step(now);
    }

    /// The leader of a run has ended and is not yet reaped: its effects come before that.
    pub fn handle_exit(&mut self, now: Instant, run: Run, exit: Exit) {
        if self.plan.active_run(run.process) != Some(run.number) {
            return;
        }
        // What a killed leader leaves behind gets the rest of the budget; otherwise it ends with its leader.
        let signal = match self.stage {
            Stage::Cleaning { .. } => ProcessSignal::Terminate,
            Stage::Active
            | Stage::Asking { .. }
            | Stage::Finalizing { .. }
            | Stage::Ending { .. }
            | Stage::Ended => ProcessSignal::Kill,
        };
        self.effects.push_back(Effect::Sweep { run, signal });
        self.plan.end_run(now, run.process, RunEnd::Exit(exit));
        self.step(now);
    }

    /// No child of any kind is left. May be told again and again.
    pub fn handle_childless(&mut self, now: Instant) {
        if self.plan.active().next().is_none() && !self.is_childless {
            self.is_childless = true;
            self.step(now);
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.step(now);
    }

    /// The endpoint of the last [`Effect::Post`] gave some answer, or could not be reached.
    pub fn handle_posted(&mut self, now: Instant, is_reached: bool) {
        let Stage::Asking {
            endpoint,
            until: None,
        } = self.stage
        else {
            return;
        };
        let wait = match (self.definition().lifecycle, endpoint) {
            (Some(lifecycle), Endpoint::Quit) if is_reached => lifecycle.graceful_wait,
            (Some(lifecycle), Endpoint::Abort) if is_reached => lifecycle.shutdown_wait,
            _ => Duration::ZERO,
        };
        self.stage = Stage::Asking {
            endpoint,
            until: Some(now + wait),
        };
        self.step(now);
    }

    /// A check has ended: without a reason, well.
    pub fn handle_checked(&mut self, now: Instant, check: CheckId, failure: Option<String>) {
        if self.stage != Stage::Active {
            return;
        }
        let news = self.checks.handle_checked(now, check, failure);
        self.handle_news(now, news);
        self.step(now);
    }

    /// Ends the task. Harmless when it is ending anyway.
    pub fn kill(&mut self, now: Instant, reason: KillReason) {
        let end = || (TaskState::Killed, reason.message().to_owned());
        match self.stage {
            Stage::Active => self.shut_down(now, end()),
            Stage::Cleaning { until } => {
                let until = until.min(now + self.definition().kill_wait);
                self.forced.get_or_insert_with(end);
                self.stage = Stage::Cleaning { until };
            }
            Stage::Finalizing { until } => {
                let until = until.min(now + self.definition().kill_wait);
                self.forced.get_or_insert_with(end);
                self.stage = Stage::Finalizing { until };
            }
            // Being killed already, or its end is decided.
            Stage::Asking { .. } | Stage::Ending { .. } | Stage::Ended => {}
        }
        self.step(now);
    }

    /// A limit was exceeded: the task fails with this message, unless it is ending anyway.
    pub fn fail(&mut self, now: Instant, message: String) {
        if self.stage == Stage::Active {
            self.shut_down(now, (TaskState::Failed, message));
        }
        self.step(now);
    }

    fn report(&mut self, state: TaskState, message: Option<String>) {
        self.effects.push_back(Effect::Report { state, message });
    }

    fn run_healthy(&mut self, message: &str) {
        self.is_running = true;
        self.report(TaskState::Running, Some(message.to_owned()));
    }

    fn handle_news(&mut self, now: Instant, news: Option<News>) {
        match news {
            None => {}
            Some(News::AllGood) => self.run_healthy("Task is healthy."),
            Some(News::Bad(message)) => self.shut_down(now, (TaskState::Failed, message)),
            Some(News::Begin(check)) => self.effects.push_back(Effect::Check(check)),
        }
    }

    fn stop_checks(&mut self) {
        if self.checks.stop() {
            self.effects.push_back(Effect::StopChecks);
        }
    }

    /// Imposes an end on an active task.
    fn shut_down(&mut self, now: Instant, end: (TaskState, String)) {
        self.forced.get_or_insert(end);
        self.stop_checks();
        self.withdraw_starts(now);
        if self.definition().lifecycle.is_some() {
            self.ask(Endpoint::Quit);
        } else {
            self.enter_cleaning(now, self.definition().kill_wait);
        }
    }

    fn ask(&mut self, endpoint: Endpoint) {
        self.stage = Stage::Asking {
            endpoint,
            until: None,
        };
        self.effects.push_back(Effect::Post(endpoint));
    }

    /// Takes back the starts that nobody has polled yet: a task that ends begins nothing.
    fn withdraw_starts(&mut self, now: Instant) {
        let plan = &mut self.plan;
        self.effects.retain(|effect| match effect {
            Effect::Start(run) => {
                plan.take_back(now, run.process);
                false
            }
            _ => true,
        });
    }

    fn enter_cleaning(&mut self, now: Instant, budget: Duration) {
        self.stop_checks();
        self.withdraw_starts(now);
        let runs: Vec<Run> = self.active_runs().collect();
        self.effects.extend(runs.into_iter().map(Effect::Terminate));
        if !self.is_childless {
            self.effects.push_back(Effect::TerminateOrphans);
        }
        self.stage = Stage::Cleaning {
            until: now + budget,
        };
    }

    fn enter_ending(&mut self, now: Instant) {
        if !self.is_childless {
            self.effects.push_back(Effect::KillAll);
        }
        self.stage = Stage::Ending {
            give_up: now + KILL_PATIENCE,
            next_round: now + KILL_ROUND,
        };
    }

    fn end(&mut self) {
        let natural = || match self.plan.is_healthy() {
            true => (TaskState::Finished, "Task finished.".to_owned()),
            false => {
                let why = self.plan.failure().map(|why| format!(" {why}"));
                let message = format!("Task failed.{}", why.unwrap_or_default());
                (TaskState::Failed, message)
            }
        };
        let (state, message) = self.forced.take().unwrap_or_else(natural);
        self.report(state, Some(message));
        self.effects.push_back(Effect::End);
        self.stage = Stage::Ended;
    }

    fn active_runs(&self) -> impl Iterator<Item = Run> + '_ {
        self.plan.active().filter_map(|process| {
            let number = self.plan.active_run(process)?;
            Some(Run { process, number })
        })
    }

    fn start_runnable(&mut self, now: Instant, phase: Phase) {
        while let Some((process, number)) = self.plan.poll_start(now, phase) {
            self.is_childless = false;
            self.effects
                .push_back(Effect::Start(Run { process, number }));
        }
    }

    /// Moves on as far as it goes.
    fn step(&mut self, now: Instant) {
        loop {
            let before = self.stage;
            self.advance(now);
            if self.stage == before {
                break;
            }
        }
        while let Some(news) = self.checks.poll(now) {
            self.handle_news(now, Some(news));
        }
        self.check_invariants();
    }

    fn advance(&mut self, now: Instant) {
        let nothing_runs = self.plan.active().next().is_none();
        match self.stage {
            Stage::Active => {
                if self.plan.is_complete(Phase::Regular) || !self.plan.is_healthy() {
                    self.enter_cleaning(now, self.definition().finalization_wait);
                } else {
                    self.start_runnable(now, Phase::Regular);
                }
            }
            Stage::Asking { endpoint, until } => {
                let is_over = until.is_some_and(|until| until <= now);
                if nothing_runs || (is_over && endpoint == Endpoint::Abort) {
                    self.enter_cleaning(now, self.definition().kill_wait);
                } else if is_over {
                    self.ask(Endpoint::Abort);
                }
            }
            Stage::Cleaning { until } => {
                if nothing_runs && self.is_childless {
                    self.stage = Stage::Finalizing { until };
                } else if until <= now {
                    self.enter_ending(now);
                }
            }
            Stage::Finalizing { until } => {
                let is_over =
                    self.plan.is_complete(Phase::Final) || self.plan.is_deadlocked(Phase::Final);
                if is_over || until <= now {
                    self.enter_ending(now);
                } else {
                    self.start_runnable(now, Phase::Final);
                }
            }
            Stage::Ending {
                give_up,
                next_round,
            } => {
                if (nothing_runs && self.is_childless) || give_up <= now {
                    self.end();
                } else if next_round <= now {
                    self.effects.push_back(Effect::KillAll);
                    self.stage = Stage::Ending {
                        give_up,
                        next_round: now + KILL_ROUND,
                    };
                }
            }
            Stage::Ended => {}
        }
    }

    /// Asserts what must hold after every call.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        self.plan.check_invariants();
        let processes = &self.definition().processes;
        for at in self.plan.active() {
            assert!(
                processes[at].is_final || !matches!(self.stage, Stage::Finalizing { .. }),
                "a regular process runs while the task finalizes"
            );
            assert!(
                !processes[at].is_final
                    || matches!(
                        self.stage,
                        Stage::Ended | Stage::Ending { .. } | Stage::Finalizing { .. }
                    ),
                "a final process runs too early"
            );
        }
        assert!(
            self.checks.deadline().is_none() || self.stage == Stage::Active,
            "health is checked of a task that is ending"
        );
    }
}

//! Which processes may run: order, failures, repeats, concurrency.

use super::definition::{DefinitionError, TaskDefinition};
use super::supervisor::Exit;
use crate::base::clock::Instant;

/// A process that ran so often has failed, whatever its limits say.
const RUNS_MAX: u32 = 100;

/// The two plans of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Regular,
    Final,
}

/// Where a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// May run (again) from this instant.
    Waiting(Instant),
    /// Runs now.
    Active,
    /// Needs no further run.
    Finished,
    /// Will not run again.
    Failed,
}

/// How the last run of a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunEnd {
    Exit(Exit),
    NotStarted,
}

#[derive(Clone, Debug)]
struct Entry {
    standing: Standing,
    /// Runs begun.
    runs: u32,
    failures: u32,
    last: Option<RunEnd>,
}

/// The state of both plans.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    definition: TaskDefinition,
    before: Vec<Vec<usize>>,
    entries: Vec<Entry>,
}

impl Plan {
    pub(super) fn new(definition: TaskDefinition) -> Result<Self, DefinitionError> {
        let before = definition.predecessors()?;
        let fresh = Entry {
            standing: Standing::Waiting(Instant::ZERO),
            runs: 0,
            failures: 0,
            last: None,
        };
        let entries = vec![fresh; definition.processes.len()];
        Ok(Self {
            definition,
            before,
            entries,
        })
    }

    pub(super) fn definition(&self) -> &TaskDefinition {
        &self.definition
    }

    fn members(&self, phase: Phase) -> impl Iterator<Item = usize> + '_ {
        (0..self.entries.len())
            .filter(move |at| self.definition.processes[*at].is_final == (phase == Phase::Final))
    }

    fn standing(&self, at: usize) -> Standing {
        self.entries[at].standing
    }

    /// The number of the run that is active, from zero.
    pub(super) fn active_run(&self, at: usize) -> Option<u32> {
        (self.standing(at) == Standing::Active).then(|| self.entries[at].runs - 1)
    }

    pub(super) fn active(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.entries.len()).filter(|at| self.standing(*at) == Standing::Active)
    }

    fn is_unblocked(&self, at: usize) -> bool {
        self.before[at]
            .iter()
            .all(|first| self.standing(*first) == Standing::Finished)
    }

    /// Takes the next process that may start now and marks it as running.
    pub(super) fn poll_start(&mut self, now: Instant, phase: Phase) -> Option<(usize, u32)> {
        let limit = self.definition.max_concurrency;
        if limit != 0 && self.active().count() >= limit {
            return None;
        }
        let due = |at: &usize| matches!(self.standing(*at), Standing::Waiting(from) if from <= now);
        let at = self
            .members(phase)
            .find(|at| due(at) && self.is_unblocked(*at))?;
        let entry = &mut self.entries[at];
        let run = entry.runs;
        entry.standing = Standing::Active;
        entry.runs += 1;
        Some((at, run))
    }

    /// Takes back a run from `poll_start` that nobody has begun.
    pub(super) fn take_back(&mut self, now: Instant, at: usize) {
        let entry = &mut self.entries[at];
        debug_assert_eq!(entry.standing, Standing::Active);
        entry.standing = Standing::Waiting(now);
        entry.runs -= 1;
    }

    /// When the next process that only waits for time may start.
    pub(super) fn next_start(&self, phase: Phase) -> Option<Instant> {
        let limit = self.definition.max_concurrency;
        if limit != 0 && self.active().count() >= limit {
            return None;
        }
        self.members(phase)
            .filter(|at| self.is_unblocked(*at))
            .filter_map(|at| match self.standing(at) {
                Standing::Waiting(from) => Some(from),
                Standing::Active | Standing::Failed | Standing::Finished => None,
            })
            .min()
    }

    /// Counts the end of the active run of `at`. One that could not be started has failed.
    pub(super) fn end_run(&mut self, now: Instant, at: usize, end: RunEnd) {
        let process = &self.definition.processes[at];
        let entry = &mut self.entries[at];
        let again = Standing::Waiting(now + process.min_duration);
        let exit = match end {
            RunEnd::Exit(exit) => exit,
            RunEnd::NotStarted => Exit::Code(1),
        };
        entry.last = Some(end);
        let mut next = match exit {
            Exit::Code(0) if process.daemon => again,
            Exit::Code(0) => Standing::Finished,
            Exit::Code(_) => {
                entry.failures += 1;
                let spent = process.max_failures != 0 && entry.failures >= process.max_failures;
                match (spent, process.ephemeral) {
                    (false, _) => again,
                    (true, true) => Standing::Finished,
                    (true, false) => Standing::Failed,
                }
            }
            Exit::Signal(_) => again,
        };
        if matches!(next, Standing::Waiting(_)) && entry.runs >= RUNS_MAX {
            next = Standing::Failed;
        }
        entry.standing = next;
    }

    /// Everything that counts has finished or failed.
    pub(super) fn is_complete(&self, phase: Phase) -> bool {
        self.members(phase).all(|at| {
            self.definition.processes[at].ephemeral
                || matches!(self.standing(at), Standing::Finished | Standing::Failed)
        })
    }

    /// Nothing runs and nothing will, though not everything has ended.
    pub(super) fn is_deadlocked(&self, phase: Phase) -> bool {
        !self.is_complete(phase)
            && self.active().next().is_none()
            && self.next_start(phase).is_none()
    }

    /// Whether the regular plan can still end, or has ended, well.
    pub(super) fn is_healthy(&self) -> bool {
        let failed = self
            .members(Phase::Regular)
            .filter(|at| self.standing(*at) == Standing::Failed)
            .count();
        let limit = self.definition.max_failures as usize;
        !self.is_deadlocked(Phase::Regular) && (limit == 0 || failed < limit)
    }

    /// What went wrong in the regular plan, for people; none if nothing has.
    pub(super) fn failure(&self) -> Option<String> {
        let mut failed = self
            .members(Phase::Regular)
            .filter(|at| self.standing(*at) == Standing::Failed);
        let at = failed.next()?;
        let (entry, more) = (&self.entries[at], failed.count());
        let what = match entry.last? {
            RunEnd::NotStarted => "could not be started".to_owned(),
            _ if entry.runs >= RUNS_MAX => format!("ran {RUNS_MAX} times, which is the limit"),
            RunEnd::Exit(Exit::Code(code)) => format!("failed with status {code}"),
            RunEnd::Exit(Exit::Signal(signal)) => format!("was ended by signal {signal}"),
        };
        let times = match entry.failures {
            0 | 1 => String::new(),
            failures => format!(" in the last of {failures} failed runs"),
        };
        let others = match more {
            0 => String::new(),
            1 => ", and one more process failed".to_owned(),
            more => format!(", and {more} more processes failed"),
        };
        let name = &self.definition.processes[at].name;
        Some(format!("Process '{name}' {what}{times}{others}."))
    }

    /// Asserts what must hold whatever happens.
    pub(super) fn check_invariants(&self) {
        let limit = self.definition.max_concurrency;
        let active = self.active().count();
        assert!(
            limit == 0 || active <= limit,
            "{active} run, {limit} allowed"
        );
        for at in self.active() {
            assert!(
                self.is_unblocked(at),
                "{at} runs before what it has to wait for"
            );
        }
        for entry in &self.entries {
            assert!(entry.runs <= RUNS_MAX, "{} runs", entry.runs);
        }
    }
}

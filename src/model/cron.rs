//! Cron jobs as the scheduler stores them: the template, where its clock stands, and what became of runs.

use super::job::JobConfiguration;
use crate::base::clock::Timestamp;
use std::sync::Arc;

/// How many runs of a job are remembered, the latest.
pub const CRON_RUNS_KEPT: usize = 20;

/// A cron job: what is run when, and what has been decided so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronJob {
    /// What is run, and on which schedule.
    pub job: Arc<JobConfiguration>,
    /// The time zone that the schedule is read in: the cluster's when the job was first scheduled.
    pub zone: Arc<str>,
    /// Rises when the schedule changes.
    pub version: u64,
    /// Every instant of the schedule up to this one has been decided. Never goes back within a version.
    pub cursor: Timestamp,
    /// The latest runs, oldest first, at most [`CRON_RUNS_KEPT`] and those that are still open.
    pub runs: Vec<CronRun>,
}

/// One decision: about an instant of the schedule, about several that were missed, or about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronRun {
    /// Counts the decisions about this job, from one.
    pub number: u64,
    /// What made it due.
    pub trigger: CronTrigger,
    /// The instant of the schedule, the last of them if several were missed; or when it was asked for.
    pub at: Timestamp,
    /// When it was decided.
    pub decided: Timestamp,
    /// What came of it.
    pub outcome: CronOutcome,
}

/// What makes a run due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CronTrigger {
    /// Its schedule.
    Schedule,
    /// This user.
    User(String),
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CronOutcome {
    /// The run before it was still active, and the policy is CANCEL_NEW: nothing was started.
    Cancelled,
    /// Its tasks were started and all have ended.
    Ended {
        /// When its tasks were started.
        started: Timestamp,
        /// When the last of them had ended.
        ended: Timestamp,
        /// How many instances did not end FINISHED.
        failed: u32,
    },
    /// Instants passed while nobody led, and are too old to be made up for.
    Missed {
        /// The first of them.
        first: Timestamp,
        /// How many there were; counting stops at some point.
        count: u32,
    },
    /// An earlier run still waits for the tasks before it to end: nothing was started.
    Overtaken,
    /// Its tasks were started.
    Started {
        /// When.
        at: Timestamp,
        /// How many.
        instances: u32,
    },
    /// The run before it is being killed; its tasks are started once that has ended.
    Waiting,
    /// The run before it was still active, and runs must not overlap: nothing was started.
    WouldOverlap,
}

impl CronOutcome {
    /// A word for it, in upper case as states are written.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::Ended { failed: 0, .. } => "FINISHED",
            Self::Ended { .. } => "FAILED",
            Self::Missed { .. } => "MISSED",
            Self::Overtaken => "OVERTAKEN",
            Self::Started { .. } => "STARTED",
            Self::Waiting => "WAITING",
            Self::WouldOverlap => "WOULD_OVERLAP",
        }
    }

    /// Whether something is still to come of it.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Started { .. } | Self::Waiting)
    }
}

impl CronJob {
    /// The number of the next decision.
    pub fn next_number(&self) -> u64 {
        self.runs.last().map_or(1, |run| run.number + 1)
    }

    /// The run that waits for the one before it to end.
    pub fn waiting(&self) -> Option<&CronRun> {
        let waits = |run: &&CronRun| run.outcome == CronOutcome::Waiting;
        self.runs.iter().find(waits)
    }

    /// The runs of which something is still to come.
    pub fn open_runs(&self) -> impl Iterator<Item = &CronRun> {
        self.runs.iter().filter(|run| run.outcome.is_open())
    }

    /// Remembers a run, new or changed, and forgets the oldest one that is closed if there are too many.
    pub fn note(&mut self, run: CronRun) {
        match self.runs.iter_mut().find(|old| old.number == run.number) {
            Some(old) => *old = run,
            None => self.runs.push(run),
        }
        while self.runs.len() > CRON_RUNS_KEPT {
            // The last one says which number comes next.
            let older = &self.runs[..self.runs.len() - 1];
            let Some(oldest) = older.iter().position(|run| !run.outcome.is_open()) else {
                break;
            };
            self.runs.remove(oldest);
        }
    }
}

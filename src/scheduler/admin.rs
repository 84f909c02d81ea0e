//! What operators ask for, apart from the work on jobs.

use crate::model::{Quota, ScheduleStatus, ScheduledTask, SlaPolicy, TaskId};
use crate::storage::{Tables, TaskQuery};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// An order of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminCommand {
    /// Moves all tasks away from machines. Machines that are not known are left out.
    DrainHosts {
        /// The machines' names.
        hosts: BTreeSet<String>,
        /// What holds for tasks that promise nothing themselves.
        default_policy: SlaPolicy,
        /// After this many seconds promises hold no more; not above zero for at once.
        timeout_secs: i64,
    },
    /// Puts machines back into service.
    EndMaintenance {
        /// The machines' names.
        hosts: BTreeSet<String>,
    },
    /// Makes a task take a state, if there is a way there from the one it has.
    ForceTaskState {
        /// The task.
        task: TaskId,
        /// The state.
        status: ScheduleStatus,
        /// Who asks.
        user: String,
    },
    /// Forgets ended tasks.
    PruneTasks {
        /// Which; it must name ended states only.
        query: TaskQuery,
    },
    /// Asks agents about the tasks that they should have.
    ReconcileExplicitly {
        /// How many tasks one order names at most.
        batch: Option<usize>,
    },
    /// Asks agents to report all that they have.
    ReconcileImplicitly,
    /// Lets the tables of a backup take the place of everything. The reply comes when the log has learned
    /// all of it; the scheduler ends then.
    Restore(Restored),
    /// Sets what a role's production work may use.
    SetQuota {
        /// The role.
        role: String,
        /// Its quota.
        quota: Quota,
    },
    /// Takes a snapshot. The reply comes when it is whole.
    Snapshot,
    /// Uses machines only if nothing else fits.
    StartMaintenance {
        /// The machines' names.
        hosts: BTreeSet<String>,
    },
}

/// Tables that are to take the place of those there are.
#[derive(Clone)]
pub struct Restored(pub Arc<Tables>);

impl PartialEq for Restored {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Restored {}

impl fmt::Debug for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Restored({} tasks)", self.0.task_count())
    }
}

/// Something for a coordinator to decide: may this task be moved away?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The task.
    pub task: Arc<ScheduledTask>,
    /// Where the coordinator answers.
    pub url: String,
    /// The member of its answer that counts.
    pub status_key: String,
    /// How many milliseconds are left before the task is moved away whatever the answer is; none if it
    /// never is.
    pub countdown_ms: Option<i64>,
}

/// How a coordinator answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// The task may be moved away.
    Granted,
    /// It may not, for now.
    Denied,
    /// The coordinator answered with something that is no ruling.
    Malformed,
    /// It could not be asked.
    Unreachable,
}

/// A coordinator's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The task that was asked about.
    pub task: TaskId,
    /// The answer.
    pub ruling: Ruling,
}

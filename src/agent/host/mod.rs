//! Runs tasks on this machine: one executor per task, each a process that outlives the agent.

mod config;
mod error;

pub use config::HostConfig;
pub use error::{HostError, LaunchError, UnknownTask};

use crate::model::{AgentId, LaunchOrder, TaskId, TaskReport};
use std::sync::Arc;

/// Starts, adopts, watches and ends executors. Cheap to clone; all clones are one host.
#[derive(Clone, Debug)]
pub struct TaskHost(Arc<HostConfig>);

impl TaskHost {
    /// Opens the work directory and adopts every executor that is still there.
    ///
    /// The receiver gives every new report of every task and must be drained. Reports that were made
    /// before are in [`TaskHost::reports`].
    ///
    /// # Errors
    ///
    /// A work directory that cannot be used, or is used by another agent.
    pub fn open(
        config: HostConfig,
    ) -> Result<(Self, async_channel::Receiver<TaskReport>), HostError> {
        let (_, receiver) = async_channel::bounded(1);
        Ok((Self(Arc::new(config)), receiver))
    }

    /// The name of this agent, made once and kept in the work directory.
    pub fn agent_id(&self) -> AgentId {
        AgentId::new("")
    }

    /// Takes a task: written down durably first, then started. A task that is already here is left alone.
    ///
    /// What goes wrong after it was written down is a report (FAILED or LOST), not an error.
    ///
    /// # Errors
    ///
    /// Nothing was started and nothing will be.
    ///
    /// # Cancellation
    ///
    /// The task may or may not have been taken.
    pub async fn launch(&self, order: LaunchOrder) -> Result<(), LaunchError> {
        Err(LaunchError::UnsafeId(order.task))
    }

    /// Ends a task. Harmless if it is being ended or has ended; its end is a report.
    ///
    /// # Errors
    ///
    /// The task is not known here.
    pub async fn kill(&self, task: &TaskId) -> Result<(), UnknownTask> {
        Err(UnknownTask(task.clone()))
    }

    /// The latest report of every task that is known and not yet forgotten.
    ///
    /// A task that was taken and has not reported yet is `Starting` with sequence 0.
    pub fn reports(&self) -> Vec<TaskReport> {
        Vec::new()
    }

    /// A report was stored by the scheduler. A task whose end was acknowledged is forgotten: its id is
    /// remembered as ended, its sandbox is kept for a while.
    pub async fn acknowledge(&self, _task: &TaskId, _sequence: u64) {}

    /// The highest ballot of a leader that was stored; zero if none was.
    pub fn highest_ballot(&self) -> u64 {
        0
    }

    /// Stores the ballot of a leader durably, if it is higher than the one stored.
    ///
    /// # Errors
    ///
    /// The file cannot be written: the order that came with it must not be obeyed.
    pub async fn store_ballot(&self, _ballot: u64) -> Result<(), HostError> {
        Ok(())
    }
}

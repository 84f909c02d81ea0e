//! What the session needs of whatever runs tasks: [`TaskHost`], or a fake in tests.

use super::host::{HostError, LaunchError, TaskHost, UnknownTask};
use crate::model::{AgentId, LaunchOrder, TaskId, TaskReport};

/// Runs tasks. All clones are one. The contract of each method is that of [`TaskHost`].
pub trait TaskRunner: Clone + Send + Sync + 'static {
    /// The agent's name.
    fn agent_id(&self) -> AgentId;

    /// The highest ballot that was stored; zero if none was.
    fn highest_ballot(&self) -> u64;

    /// Stores a ballot durably, if it is higher than the one stored.
    fn store_ballot(&self, ballot: u64) -> impl Future<Output = Result<(), HostError>> + Send;

    /// Takes a task, unless it is known already.
    fn launch(&self, order: LaunchOrder) -> impl Future<Output = Result<(), LaunchError>> + Send;

    /// Ends a task.
    fn kill(&self, task: &TaskId) -> impl Future<Output = Result<(), UnknownTask>> + Send;

    /// The latest report of every task that is known.
    fn reports(&self) -> Vec<TaskReport>;

    /// A report was stored by the scheduler.
    fn acknowledge(&self, task: &TaskId, sequence: u64) -> impl Future<Output = ()> + Send;
}

impl TaskRunner for TaskHost {
    fn agent_id(&self) -> AgentId {
        Self::agent_id(self)
    }

    fn highest_ballot(&self) -> u64 {
        Self::highest_ballot(self)
    }

    async fn store_ballot(&self, ballot: u64) -> Result<(), HostError> {
        Self::store_ballot(self, ballot).await
    }

    async fn launch(&self, order: LaunchOrder) -> Result<(), LaunchError> {
        Self::launch(self, order).await
    }

    async fn kill(&self, task: &TaskId) -> Result<(), UnknownTask> {
        Self::kill(self, task).await
    }

    fn reports(&self) -> Vec<TaskReport> {
        Self::reports(self)
    }

    async fn acknowledge(&self, task: &TaskId, sequence: u64) {
        Self::acknowledge(self, task, sequence).await;
    }
}

//! What an agent is told to run, and what it says of it.

use super::job::JobKey;
use super::resources::{NamedPorts, Resources};
use super::task::{FetcherUri, InstanceId, TaskId};
use crate::base::clock::Timestamp;

/// All that an agent needs to run a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchOrder {
    /// The task's name.
    pub task: TaskId,
    /// The job it belongs to. Its role is the user to run as.
    pub job: JobKey,
    /// Which instance it is.
    pub instance: InstanceId,
    /// The executor's name, for ours `AuroraExecutor`.
    pub executor: String,
    /// The executor's input: for ours, the job as JSON.
    pub data: String,
    /// What it may use, without the executor's own share.
    pub resources: Resources,
    /// The ports it was given, by name.
    pub ports: NamedPorts,
    /// Pairs that go with it, for display.
    pub metadata: Vec<(String, String)>,
    /// How the executor is started.
    pub setup: ExecutorSetup,
    /// Files that are put into the sandbox first.
    pub uris: Vec<FetcherUri>,
}

impl LaunchOrder {
    /// The name of a pair of metadata that says, by the value `true`, that the task runs on what the machine
    /// may take back: it comes last when processor time is short and goes first when memory is.
    pub const REVOCABLE: &str = "org.apache.aurora.revocable";

    /// Whether metadata hold that pair. A job that sets it itself harms nobody else.
    pub fn says_revocable(metadata: &[(String, String)]) -> bool {
        let named = |(name, value): &(String, String)| name == Self::REVOCABLE && value == "true";
        metadata.iter().any(named)
    }
}

/// How executors are started: the same for all tasks of a cluster. The default is the agent's own executor
/// without any flag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutorSetup {
    /// Flags for the executor, as one text.
    pub flags: String,
    /// A program on the agent's machine that is run in place of the executor and starts it.
    pub path: Option<String>,
    /// Files on the agent's machine that are put beside that program.
    pub resources: Vec<String>,
}

/// The state of a task on its machine; the names are those of Mesos' `TaskState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskState {
    /// Ended badly.
    Failed,
    /// Ended well.
    Finished,
    /// Was killed.
    Killed,
    /// Is gone, and the machine cannot say how.
    Lost,
    /// Runs and is healthy.
    Running,
    /// Is being prepared or not yet healthy.
    Starting,
}

impl TaskState {
    /// Nothing follows it.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Starting | Self::Running)
    }
}

/// What an agent says of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskReport {
    /// The task.
    pub task: TaskId,
    /// Rises with each report of one task, across restarts of the agent.
    pub sequence: u64,
    /// Its state.
    pub state: TaskState,
    /// Why, for people.
    pub message: Option<String>,
    /// When it happened.
    pub at: Timestamp,
}

//! The names in a task's directory.

/// What to run; written by the agent before the executor starts.
pub const ORDER: &str = "order";
/// What happened; written by the executor.
pub const CHECKPOINT: &str = "checkpoint";
/// Locked by the executor as long as it lives.
pub const LOCK: &str = "lock";
/// Where the executor listens.
pub const CONTROL: &str = "control";
/// What the executor itself has to say.
pub const JOURNAL: &str = "executor.log";
/// The agent's word that the task is over; with it nothing starts any more.
pub const VERDICT: &str = "verdict";
/// Says that all files to fetch are in the sandbox.
pub const FETCHED: &str = "fetched";
/// Where a wrapper of the executor and its files are.
pub const WRAPPER: &str = "executor";
/// Where the task's processes live.
pub const SANDBOX: &str = "sandbox";
/// Names the control group that the executor has to be in, of version 2; set by the agent.
pub const CGROUP_VARIABLE: &str = "AURORA_CGROUP";
/// Names the task's directory in the environment of an executor.
pub const TASK_DIR_VARIABLE: &str = "AURORA_TASK_DIR";

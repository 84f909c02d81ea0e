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
/// Holds the files through which the executor enters its control groups, one a line; set by the agent.
pub const DOORS_VARIABLE: &str = "AURORA_DOORS";
/// Holds the limits that the executor sets itself, `name=number` with commas; set by the agent.
pub const LIMITS_VARIABLE: &str = "AURORA_LIMITS";
/// Names the task's control group with the counters of memory; set by the agent.
pub const MEMORY_VARIABLE: &str = "AURORA_MEMORY_CGROUP";
/// What is between agent and executor: no task gets it.
pub const OWN_VARIABLES: [&str; 5] = [
    CGROUP_VARIABLE,
    DOORS_VARIABLE,
    LIMITS_VARIABLE,
    MEMORY_VARIABLE,
    TASK_DIR_VARIABLE,
];
/// Names the task's directory in the environment of an executor.
pub const TASK_DIR_VARIABLE: &str = "AURORA_TASK_DIR";

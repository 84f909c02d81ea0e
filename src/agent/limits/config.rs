//! The settings of limits.

use crate::supervise::limits::MB;
use std::time::Duration;

/// How tasks are held to what they asked for.
#[derive(Clone, Debug)]
pub struct LimitConfig {
    /// The group below which all tasks' control groups are; none for no control groups.
    pub cgroup_root: Option<String>,
    /// Whether a task gets no more processor time than it asked for even when nobody else wants it.
    pub is_cpu_capped: bool,
    /// Processes and threads of one task, by its control group; zero for no limit.
    pub pids: u32,
    /// Memory that the executor may use beside what the task asked for, in bytes.
    pub executor_memory: u64,
    /// Open files of one process; zero to leave what the agent itself has.
    pub open_files: u64,
    /// Processes and threads of one user; zero to leave what the agent itself has.
    pub processes_of_user: u64,
    /// Whether processes may leave core dumps, where the system lets them.
    pub is_core_dumped: bool,
    /// Between two looks at what a sandbox takes on the disk; zero for none.
    pub disk_interval: Duration,
    /// Between two looks at the memory of tasks.
    pub memory_interval: Duration,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            cgroup_root: Some("aurora".to_owned()),
            is_cpu_capped: false,
            pids: 4_096,
            executor_memory: 32 * MB,
            open_files: 65_536,
            processes_of_user: 32_768,
            is_core_dumped: false,
            disk_interval: Duration::from_secs(60),
            memory_interval: Duration::from_secs(5),
        }
    }
}

//! What a host of tasks is told when it opens.

use crate::agent::limits::LimitConfig;
use std::path::PathBuf;
use std::time::Duration;

/// How a [`TaskHost`](super::TaskHost) runs tasks.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Holds all that must survive a restart; made if it is not there.
    pub work_dir: PathBuf,
    /// The executor's program.
    pub executor_path: PathBuf,
    /// The machine's name, as tasks see it in `{{mesos.hostname}}`.
    pub hostname: String,
    /// Whether tasks may run as root when the agent does.
    pub allow_root_tasks: bool,
    /// How long the processes of a killed task may take to end by themselves after SIGTERM.
    pub kill_wait: Duration,
    /// After this long a kill stops waiting for the executor and kills the executor itself.
    pub stop_timeout: Duration,
    /// How long the sandbox of an ended and acknowledged task is kept.
    pub sandbox_age_max: Duration,
    /// While less than so many percent of the disk are free, sandboxes of ended and acknowledged tasks are
    /// removed, the oldest first.
    pub disk_headroom_percent: u8,
    /// How many sandboxes of ended and acknowledged tasks are kept.
    pub sandbox_count_max: usize,
    /// Where fetched files are kept for other tasks, each agent in a directory of its own; in the work directory
    /// if nothing is said.
    pub fetch_cache_dir: Option<PathBuf>,
    /// The most bytes that these files take; zero for no cache.
    pub fetch_cache_bytes: u64,
    /// How tasks are held to what they asked for.
    pub limits: LimitConfig,
}

impl HostConfig {
    /// The usual settings: upstream's time limits, sandboxes kept two days, a thousand at most, and
    /// fewer on a full disk.
    pub fn new(work_dir: PathBuf, executor_path: PathBuf, hostname: &str) -> Self {
        Self {
            work_dir,
            executor_path,
            hostname: hostname.to_owned(),
            allow_root_tasks: false,
            kill_wait: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(120),
            sandbox_age_max: Duration::from_secs(2 * 86_400),
            disk_headroom_percent: 10,
            sandbox_count_max: 1_000,
            fetch_cache_dir: None,
            fetch_cache_bytes: 2 << 30,
            limits: LimitConfig::default(),
        }
    }
}

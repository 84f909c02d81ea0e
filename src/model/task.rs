//! Tasks: what they run, where they are, what happened to them.

use super::constraint::Constraint;
use super::container::Container;
use super::host::AgentId;
use super::job::JobKey;
use super::resources::{NamedPorts, Resources};
use super::status::ScheduleStatus;
use crate::base::clock::Timestamp;
use crate::base::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Names a task for ever: `role-env-name-instance-uuid`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(Arc<str>);

impl TaskId {
    /// A fresh id for an instance of a job; characters outside `[A-Za-z0-9_-]` become `-`.
    pub fn fresh(job: &JobKey, instance: InstanceId, rng: &mut Rng) -> Self {
        let text = format!(
            "{}-{}-{}-{}-{}",
            job.role(),
            job.environment(),
            job.name(),
            instance,
            rng.uuid()
        );
        let safe = |c: char| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        };
        Self(text.chars().map(safe).collect::<String>().into())
    }

    /// The id with this text, which another party made: it need not follow the pattern.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the text can name a directory: what an agent demands before it uses an id.
    pub fn is_path_safe(&self) -> bool {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        (1..=1024).contains(&self.0.len()) && self.0.bytes().all(good)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of an instance within its job, from zero.
pub type InstanceId = u32;

/// A pair of texts that goes with a task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Metadata {
    /// Its key; keys may repeat.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A file that is fetched into the sandbox before the task starts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetcherUri {
    /// Where it is.
    pub value: String,
    /// Whether an archive is unpacked.
    pub extract: Option<bool>,
    /// Whether it may be kept for other tasks.
    pub cache: Option<bool>,
    /// What it is called in the sandbox.
    pub output_file: Option<String>,
}

/// Which executor runs the task, and its input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExecutorConfig {
    /// The executor's name; ours is `AuroraExecutor`.
    pub name: Option<String>,
    /// What the executor reads: for ours, the job as JSON.
    pub data: Option<String>,
}

/// What happens to a task whose machine cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartitionPolicy {
    /// Whether it is given up and run elsewhere.
    pub reschedule: bool,
    /// After how many seconds.
    pub delay_secs: i64,
}

/// How many instances must stay up while machines are taken out of service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SlaPolicy {
    /// Asks a coordinator.
    Coordinator {
        /// Where it answers.
        url: String,
        /// The key of its answer.
        status_key: String,
    },
    /// At least this many, for this long.
    Count {
        /// Instances.
        count: i64,
        /// Seconds.
        duration_secs: i64,
    },
    /// At least this share, for this long. The share is kept in thousandths of a percent.
    Percentage {
        /// Thousandths of a percent.
        milli_percent: i64,
        /// Seconds.
        duration_secs: i64,
    },
}

/// What a task runs and needs. Shared by all instances that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskConfig {
    /// The job it belongs to.
    pub job: JobKey,
    /// The person who described it.
    pub owner: Option<String>,
    /// Runs for ever: is started again when it ends.
    pub is_service: bool,
    /// Precedence within a role.
    pub priority: i32,
    /// How often a task that is no service may fail; -1 for any number.
    pub max_task_failures: i32,
    /// Derived from the tier: neither preemptible nor revocable.
    pub production: bool,
    /// The tier; set once validated.
    pub tier: Option<String>,
    /// What it needs, without named ports' names. `ports` counts them.
    pub resources: Resources,
    /// The names of its ports.
    pub port_names: BTreeSet<String>,
    /// Whether the client named any GPUs at all, zero included.
    pub names_gpus: bool,
    /// Demands on the machine.
    pub constraints: BTreeSet<Constraint>,
    /// Files to fetch.
    pub fetcher_uris: BTreeSet<FetcherUri>,
    /// Links to show.
    pub task_links: BTreeMap<String, String>,
    /// Whom to write to.
    pub contact_email: Option<String>,
    /// The executor and its input.
    pub executor: Option<ExecutorConfig>,
    /// Pairs that go with it.
    pub metadata: BTreeSet<Metadata>,
    /// What happens when its machine cannot be reached.
    pub partition_policy: Option<PartitionPolicy>,
    /// What must stay up during maintenance.
    pub sla_policy: Option<SlaPolicy>,
    /// What it runs in.
    pub container: Container,
}

/// Something that happened to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEvent {
    /// When.
    pub at: Timestamp,
    /// The state it took.
    pub status: ScheduleStatus,
    /// Why, for people.
    pub message: Option<String>,
    /// The scheduler's host that recorded it.
    pub scheduler: Option<Arc<str>>,
}

/// A task as the scheduler stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledTask {
    /// Its name.
    pub id: TaskId,
    /// What it runs.
    pub config: Arc<TaskConfig>,
    /// Which instance of the job it is.
    pub instance: InstanceId,
    /// Its state.
    pub status: ScheduleStatus,
    /// How often it and those it replaced have failed.
    pub failure_count: i32,
    /// How often its machine was cut off.
    pub times_partitioned: i32,
    /// The task it replaced.
    pub ancestor: Option<TaskId>,
    /// The agent it was given to.
    pub agent: Option<AgentId>,
    /// That agent's host.
    pub host: Option<Arc<str>>,
    /// The ports it was given.
    pub ports: NamedPorts,
    /// What happened to it, oldest first.
    pub events: Vec<TaskEvent>,
}

impl ScheduledTask {
    /// The job it belongs to.
    pub fn job(&self) -> &JobKey {
        &self.config.job
    }

    /// When something last happened to it.
    pub fn last_event_at(&self) -> Option<Timestamp> {
        self.events.last().map(|e| e.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_are_safe_as_names_of_directories() {
        let job = JobKey::new("www.data", "prod", "web.1").unwrap();
        let id = TaskId::fresh(&job, 3, &mut Rng::from_seed(1));
        assert!(id.as_str().starts_with("www-data-prod-web-1-3-"), "{id}");
        assert!(id.is_path_safe());
        assert!(!TaskId::new("../x").is_path_safe());
        assert!(JobKey::new("a", "b", "c d").is_err());
    }
}

//! What a job file says, as plain values: the structs of the scheduler's API by their API names.
//!
//! Field names are the API's in snake case; on the wire between the loader and this module they are
//! camel case. Unions are enums with one lowercase tag.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The four parts of a job key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadedKey {
    /// Cluster, by the name `clusters.json` gives it.
    pub cluster: String,
    /// Role.
    pub role: String,
    /// Environment.
    pub environment: String,
    /// Job name.
    pub name: String,
}

impl std::fmt::Display for LoadedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            cluster,
            role,
            environment,
            name,
        } = self;
        write!(f, "{cluster}/{role}/{environment}/{name}")
    }
}

/// What becomes a `JobConfiguration`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobConfig {
    /// `owner.user`: the user who runs the client.
    pub owner: String,
    /// Cron schedule; absent for a job that is not a cron job.
    pub cron_schedule: Option<String>,
    /// What a cron run does when the last one is still there.
    pub cron_collision_policy: CollisionPolicy,
    /// Number of instances.
    pub instance_count: i32,
    /// The configuration all instances share.
    pub task_config: JobTask,
}

/// Cron collision policy, by its API name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CollisionPolicy {
    /// The old run is killed (0).
    KillExisting,
    /// The new run does not start (1).
    CancelNew,
    /// Both run (2); the scheduler refuses it.
    RunOverlap,
}

/// What becomes a `TaskConfig`. `taskLinks` is always the empty map, `mesosFetcherUris` always unset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobTask {
    /// A task that ends is started again.
    pub is_service: bool,
    /// Priority.
    pub priority: i32,
    /// Failures after which an instance stays failed; -1 is no limit.
    pub max_task_failures: i32,
    /// Deprecated production flag; see [`super::LoadedJob::apply_tiers`].
    pub production: bool,
    /// Tier, if the file names one.
    pub tier: Option<String>,
    /// Contact address.
    pub contact_email: Option<String>,
    /// Resources in the order cpus, ram, disk, gpus, ports (ports sorted by name).
    pub resources: Vec<JobResource>,
    /// Scheduling constraints, sorted by name.
    pub constraints: Vec<JobConstraint>,
    /// Metadata pairs, sorted, without doubles.
    pub metadata: Vec<JobPair>,
    /// Partition policy.
    pub partition_policy: Option<JobPartitionPolicy>,
    /// SLA policy.
    pub sla_policy: Option<JobSlaPolicy>,
    /// Container; the Mesos container without an image when the file names none.
    pub container: JobContainer,
    /// Executor name and data.
    pub executor_config: JobExecutor,
}

/// One member of `TaskConfig.resources`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobResource {
    /// CPUs.
    NumCpus(f64),
    /// Memory in MiB.
    RamMb(i64),
    /// Disk in MiB.
    DiskMb(i64),
    /// A port by its name.
    NamedPort(String),
    /// GPUs.
    NumGpus(i64),
}

/// A scheduling constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobConstraint {
    /// Attribute name.
    pub name: String,
    /// What is asked of it.
    pub constraint: JobTaskConstraint,
}

/// `TaskConstraint`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobTaskConstraint {
    /// The attribute has, or with `negated` has not, one of the values.
    Value {
        /// Whether the values are excluded.
        negated: bool,
        /// Values in the order of the file.
        values: Vec<String>,
    },
    /// At most this many instances per value.
    Limit {
        /// The number.
        limit: i32,
    },
}

/// A key with a value: `Metadata` and `DockerParameter` (whose key is called `name` in the API).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobPair {
    /// Key.
    pub key: String,
    /// Value.
    pub value: String,
}

/// `PartitionPolicy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobPartitionPolicy {
    /// Whether a partitioned task is replaced.
    pub reschedule: bool,
    /// How long to wait first.
    pub delay_secs: i64,
}

/// `SlaPolicy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum JobSlaPolicy {
    /// So many percent of the instances stay up.
    PercentageSlaPolicy {
        /// The percentage.
        percentage: f64,
        /// How long an instance runs before it counts.
        duration_secs: i64,
    },
    /// So many instances stay up.
    CountSlaPolicy {
        /// The number.
        count: i64,
        /// How long an instance runs before it counts.
        duration_secs: i64,
    },
    /// A service decides.
    CoordinatorSlaPolicy {
        /// Where to ask.
        coordinator_url: String,
        /// Key of the answer.
        status_key: String,
    },
}

/// `Container`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum JobContainer {
    /// The Mesos container.
    Mesos {
        /// Filesystem image.
        image: Option<JobImage>,
        /// Volumes.
        volumes: Vec<JobVolume>,
    },
    /// A Docker container.
    Docker {
        /// Image.
        image: String,
        /// Parameters of `docker run`.
        parameters: Vec<JobPair>,
    },
}

/// `Image`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum JobImage {
    /// A Docker image.
    Docker {
        /// Repository.
        name: String,
        /// Tag.
        tag: String,
    },
    /// An AppC image.
    Appc {
        /// Name.
        name: String,
        /// Image id.
        image_id: String,
    },
}

/// `Volume`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobVolume {
    /// Path inside.
    pub container_path: String,
    /// Path on the host.
    pub host_path: String,
    /// Access.
    pub mode: VolumeMode,
}

/// `Mode` of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeMode {
    /// Read and write.
    #[serde(rename = "RW")]
    ReadWrite,
    /// Read only.
    #[serde(rename = "RO")]
    ReadOnly,
}

/// `ExecutorConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobExecutor {
    /// Executor name.
    pub name: String,
    /// What the executor reads: for `AuroraExecutor` the job as JSON with sorted keys, without
    /// `instances` and `update_config`.
    pub data: String,
}

/// What becomes `JobUpdateSettings`, but for the instances, which the command line names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateSettings {
    /// Deprecated group size.
    pub update_group_size: i32,
    /// Failures allowed per instance.
    pub max_per_instance_failures: i32,
    /// Instances that may fail.
    pub max_failed_instances: i32,
    /// How long an instance must run, in milliseconds.
    pub min_wait_in_instance_running_ms: i32,
    /// Whether a failed update is rolled back.
    pub rollback_on_failure: bool,
    /// Deprecated batch flag.
    pub wait_for_batch_completion: bool,
    /// Longest time without a pulse.
    pub block_if_no_pulses_after_ms: Option<i32>,
    /// Whether the SLA policy is kept during the update.
    pub sla_aware: bool,
    /// Strategy.
    pub update_strategy: UpdateStrategy,
}

/// `JobUpdateStrategy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum UpdateStrategy {
    /// A sliding window.
    QueueStrategy {
        /// Instances at a time.
        group_size: i32,
    },
    /// Batch after batch.
    BatchStrategy {
        /// Instances per batch.
        group_size: i32,
        /// Pause after each batch.
        autopause_after_batch: bool,
    },
    /// Batches of given sizes.
    VarBatchStrategy {
        /// Instances of each batch.
        group_sizes: Vec<i32>,
        /// Pause after each batch.
        autopause_after_batch: bool,
    },
}

/// Settings of one tier, as `getTierConfigs` answers them.
pub type TierSettings = BTreeMap<String, String>;

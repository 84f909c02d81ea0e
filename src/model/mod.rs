//! Plain values of the domain, valid by construction, with no behaviour over time.
//!
//! Nothing here is stored or sent as it is: stored and wire types are frozen copies elsewhere, so that
//! these may change freely. No type here derives `Serialize`.

mod alike;
mod constraint;
mod container;
mod cron;
mod host;
mod identifier;
mod job;
mod launch;
mod quota;
mod resources;
mod status;
mod task;
mod update;

pub use alike::by_description;
pub use constraint::{Constraint, ConstraintKind};
pub use container::{Container, DockerParameter, Image, Volume, VolumeMode};
pub use cron::{CRON_RUNS_KEPT, CronJob, CronOutcome, CronRun, CronTrigger};
pub use host::{
    AgentId, AgentSession, Attribute, HostAttributes, MaintenanceMode, MaintenanceRequest,
};
pub use identifier::{IdentifierError, check_identifier, is_identifier};
pub use job::{CronCollisionPolicy, JobConfiguration, JobKey};
pub use launch::{ExecutorSetup, LaunchOrder, TaskReport, TaskState};
pub use quota::Quota;
pub use resources::{MilliCpus, NamedPorts, PortRange, Ports, Resources};
pub use status::ScheduleStatus;
pub use task::{
    ExecutorConfig, FetcherUri, InstanceId, Metadata, PartitionPolicy, ScheduledTask, SlaPolicy,
    TaskConfig, TaskEvent, TaskId,
};
pub use update::{
    InstanceConfig, InstanceRange, InstanceUpdateEvent, JobUpdate, PulseStatus, UpdateAction,
    UpdateEvent, UpdateKey, UpdateSettings, UpdateStatus, UpdateStrategy,
};

//! Jobs: their keys and their descriptions.

use super::identifier::{IdentifierError, check_identifier};
use super::task::TaskConfig;
use std::fmt;
use std::sync::Arc;

/// Names a job within a cluster: `role/environment/name`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey(Arc<Parts>);

#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Parts {
    role: Box<str>,
    environment: Box<str>,
    name: Box<str>,
}

impl JobKey {
    /// The key of these parts.
    ///
    /// # Errors
    ///
    /// A part that is not an identifier, by name.
    pub fn new(role: &str, environment: &str, name: &str) -> Result<Self, IdentifierError> {
        check_identifier("role", role)?;
        check_identifier("environment", environment)?;
        check_identifier("job name", name)?;
        Ok(Self(Arc::new(Parts {
            role: role.into(),
            environment: environment.into(),
            name: name.into(),
        })))
    }

    /// The role that owns the job, which is also the user its tasks run as.
    pub fn role(&self) -> &str {
        &self.0.role
    }

    /// The environment, such as `prod` or `devel`.
    pub fn environment(&self) -> &str {
        &self.0.environment
    }

    /// The name within role and environment.
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.role(), self.environment(), self.name())
    }
}

impl fmt::Debug for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a cron job does when a run is still active at its next instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CronCollisionPolicy {
    /// The running tasks are killed first.
    #[default]
    KillExisting,
    /// The new run is dropped.
    CancelNew,
    /// Both run. Refused when a job is created.
    RunOverlap,
}

/// The description of a job: what its tasks are and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobConfiguration {
    /// The job's name.
    pub key: JobKey,
    /// The person who described it, if the client said so.
    pub owner: Option<String>,
    /// A five-field cron schedule, for cron jobs only.
    pub cron_schedule: Option<String>,
    /// What happens when runs collide.
    pub cron_collision_policy: CronCollisionPolicy,
    /// What each instance runs.
    pub task: Arc<TaskConfig>,
    /// How many instances.
    pub instance_count: u32,
}

//! Jobs: their keys and their descriptions.

use super::identifier::{IdentifierError, check_identifier};
use super::task::TaskConfig;
use std::fmt;
use std::sync::Arc;

/// Names a job within a cluster: `role/environment/name`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey(Arc<Parts>);

/// The parts as one text with NUL between, so that keys are compared at once and in the order of their
/// parts: NUL is smaller than whatever an identifier holds.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Parts {
    text: Box<str>,
    role_end: usize,
    environment_end: usize,
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
        let role_end = role.len();
        Ok(Self(Arc::new(Parts {
            text: format!("{role}\0{environment}\0{name}").into(),
            role_end,
            environment_end: role_end + 1 + environment.len(),
        })))
    }

    fn part(&self, from: usize, to: usize) -> &str {
        // Cut where it was joined.
        self.0.text.get(from..to).unwrap_or_default()
    }

    /// The role that owns the job, which is also the user its tasks run as.
    pub fn role(&self) -> &str {
        self.part(0, self.0.role_end)
    }

    /// The environment, such as `prod` or `devel`.
    pub fn environment(&self) -> &str {
        self.part(self.0.role_end + 1, self.0.environment_end)
    }

    /// The name within role and environment.
    pub fn name(&self) -> &str {
        self.part(self.0.environment_end + 1, self.0.text.len())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_their_parts_and_give_them_back() {
        let parts = ["a", "a-b", "a.b", "aa", "A", "b", "_", "0"];
        let mut keys = Vec::new();
        for role in parts {
            for environment in parts {
                for name in parts {
                    let key = JobKey::new(role, environment, name).unwrap();
                    assert_eq!(
                        (key.role(), key.environment(), key.name()),
                        (role, environment, name)
                    );
                    keys.push(key);
                }
            }
        }
        let mut by_parts = keys.clone();
        by_parts.sort_by_key(|key| {
            let parts = [key.role(), key.environment(), key.name()];
            parts.map(str::to_owned)
        });
        keys.sort();
        assert_eq!(keys, by_parts);
    }
}

//! Which jobs a cluster takes, and what it fills in.
//!
//! How many instances a job may have depends on those it has, so that is for the scheduler to check.
//! Pure functions over descriptions that have been parsed; the messages are part of the interface.

mod bounds;
mod environment;
mod sla;
mod task;

pub use environment::{BadPattern, EnvironmentRule};
pub use task::{ContainerType, ResourceKind};

use super::tier::Tiers;
use crate::model::{JobKey, is_identifier};
use std::collections::BTreeSet;
use std::time::Duration;
use thiserror::Error;

/// Why a job is refused: a sentence for whoever described it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// What a cluster allows; made from flags.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Environments that jobs may be in (`-allowed_job_environments`).
    pub environments: EnvironmentRule,
    /// The tiers (`-tier_config`).
    pub tiers: Tiers,
    /// The executors that a job may name.
    pub executors: BTreeSet<String>,
    /// The containers that a job may ask for (`-allowed_container_types`).
    pub container_types: BTreeSet<ContainerType>,
    /// `-allow_docker_parameters`
    pub allow_docker_parameters: bool,
    /// `-require_docker_use_executor`
    pub require_docker_use_executor: bool,
    /// `-allow_gpu_resource`
    pub allow_gpus: bool,
    /// `-enable_mesos_fetcher`
    pub allow_fetcher: bool,
    /// `-allow_container_volumes`
    pub allow_volumes: bool,
    /// Promises for jobs that are not production (`-sla_aware_kill_non_prod`).
    pub sla_for_non_production: bool,
    /// Jobs with fewer instances cannot promise counts or shares
    /// (`-min_required_instances_for_sla_check`).
    pub sla_min_instances: u32,
    /// The longest time that a promise may look back (`-max_sla_duration_secs`).
    pub sla_max_duration: Duration,
    /// The most failures that an update may allow, all instances together
    /// (`-max_update_instance_failures`).
    pub max_update_failures: i64,
}

impl Default for Rules {
    /// The flags' defaults.
    fn default() -> Self {
        Self {
            environments: EnvironmentRule::default(),
            tiers: Tiers::default(),
            executors: BTreeSet::from(["AuroraExecutor".to_owned()]),
            container_types: BTreeSet::from([ContainerType::Mesos]),
            allow_docker_parameters: false,
            require_docker_use_executor: true,
            allow_gpus: false,
            allow_fetcher: false,
            allow_volumes: false,
            sla_for_non_production: false,
            sla_min_instances: 20,
            sla_max_duration: Duration::from_secs(2 * 3600),
            max_update_failures: 20_000,
        }
    }
}

/// Role, environment and name of a job must fit into the name of a task's directory together with an
/// instance number and a unique part.
const JOB_KEY_MAX: usize = 200;

impl Rules {
    /// Checks a job's name beyond its form: a known environment, and room for task ids.
    ///
    /// # Errors
    ///
    /// The sentence for the client.
    pub fn check_key(&self, key: &JobKey) -> Result<(), Invalid> {
        self.environments.check(key.environment())?;
        let len = key.role().len() + key.environment().len() + key.name().len();
        if len > JOB_KEY_MAX {
            return Err(Invalid(format!(
                "Job key {key} is too long: role, environment and name may have \
                 {JOB_KEY_MAX} characters together."
            )));
        }
        Ok(())
    }
}

/// Checks the name of the person who described a job.
///
/// # Errors
///
/// The sentence for the client.
pub fn check_owner(user: &str) -> Result<(), Invalid> {
    if is_identifier(user) {
        return Ok(());
    }
    let shown: String = user.chars().take(300).collect();
    Err(Invalid(format!(
        "Job user contains illegal characters: {shown}"
    )))
}

#[cfg(test)]
mod tests;

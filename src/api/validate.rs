//! A job as a client describes it, made into one that the scheduler can store.

use crate::domain::validate::{Invalid, ResourceKind, Rules, check_owner};
use crate::model;
use crate::thrift::api::{JobConfiguration, Resource, TaskConfig};
use crate::thrift::convert;
use std::collections::BTreeSet;
use std::sync::Arc;

fn refuse<T>(message: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid(message.into()))
}

/// Checks a description in full and fills in what the client left open. How many instances a cluster
/// allows is not checked: that is for the method to say.
///
/// # Errors
///
/// The sentence for the client.
pub(super) fn job(
    rules: &Rules,
    job: &JobConfiguration,
) -> Result<model::JobConfiguration, Invalid> {
    let Some(config) = &job.task_config else {
        return refuse("Job configuration must have taskConfig set.");
    };
    if job.instance_count <= 0 {
        return refuse("Instance count must be positive.");
    }
    let key = convert::job_key(job.key.as_ref()).map_err(text)?;
    rules.check_key(&key)?;
    for owner in [&job.owner, &config.owner].into_iter().flatten() {
        check_owner(owner.user.as_deref().unwrap_or_default())?;
    }
    let mut job = convert::job_configuration(job).map_err(text)?;
    let task = Arc::make_mut(&mut job.task);
    rules.populate(task, job.instance_count, &repeated(config))?;
    if task.job != key {
        return refuse(format!(
            "Job key {key} is not that of its task configuration, {}.",
            task.job
        ));
    }
    if job.cron_schedule.is_some() && task.is_service {
        return refuse(format!(
            "A service task may not be run on a cron schedule: {key}"
        ));
    }
    Ok(job)
}

/// Checks what an update leads `instances` instances to and fills in what the client left open.
///
/// # Errors
///
/// The sentence for the client.
pub(super) fn task(
    rules: &Rules,
    config: &TaskConfig,
    instances: u32,
) -> Result<model::TaskConfig, Invalid> {
    let mut task = convert::task_config(config).map_err(text)?;
    rules.check_key(&task.job)?;
    if let Some(owner) = &config.owner {
        check_owner(owner.user.as_deref().unwrap_or_default())?;
    }
    rules.populate(&mut task, instances, &repeated(config))?;
    Ok(task)
}

fn text(error: convert::ConvertError) -> Invalid {
    Invalid(error.to_string())
}

/// The resources that are named more than once.
fn repeated(config: &TaskConfig) -> BTreeSet<ResourceKind> {
    let mut seen = BTreeSet::new();
    let kinds = config
        .resources
        .iter()
        .filter_map(|resource| match resource {
            Resource::NumCpus(_) => Some(ResourceKind::Cpu),
            Resource::RamMb(_) => Some(ResourceKind::Ram),
            Resource::DiskMb(_) => Some(ResourceKind::Disk),
            Resource::NumGpus(_) => Some(ResourceKind::Gpu),
            Resource::NamedPort(_) => None,
        });
    kinds.filter(|kind| !seen.insert(*kind)).collect()
}

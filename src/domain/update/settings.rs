//! What is refused of an update before anything is stored.

use crate::domain::validate::Invalid;
use crate::model::{
    InstanceId, InstanceRange, Metadata, TaskConfig, UpdateSettings, UpdateStrategy,
};
use std::collections::BTreeSet;

/// The most pairs of metadata, and the longest key and value, in bytes.
const MAX_METADATA: (usize, usize, usize) = (10_000, 1_024, 65_536);

/// How many instances a refusal names at most.
const NAMED: usize = 100;

/// Checks the settings of an update of `instances` instances, in upstream's order.
///
/// # Errors
///
/// The sentence for the client.
pub fn check_settings(
    settings: &UpdateSettings,
    config: &TaskConfig,
    instances: u32,
    max_failures: i64,
) -> Result<(), Invalid> {
    let refuse = |message: &str| Err(Invalid(message.to_owned()));
    if !config.is_service {
        return refuse("Updates are not supported for non-service tasks.");
    }
    let sum = match &settings.strategy {
        UpdateStrategy::Batch { group_size, .. } | UpdateStrategy::Queue { group_size } => {
            i64::from(*group_size)
        }
        UpdateStrategy::VariableBatch { group_sizes, .. } => {
            if group_sizes.iter().any(|size| *size <= 0) {
                return refuse("All update group sizes must be positive.");
            }
            group_sizes.iter().map(|size| i64::from(*size)).sum()
        }
    };
    if sum <= 0 {
        return refuse("Update results in no instance being modified.");
    }
    if settings.max_per_instance_failures < 0 {
        return refuse("maxPerInstanceFailures must be non-negative.");
    }
    if settings.max_failed_instances < 0 {
        return refuse("maxFailedInstances must be non-negative.");
    }
    if i64::from(settings.max_per_instance_failures) * i64::from(instances) > max_failures {
        return refuse(
            "Your update allows too many failures to occur, consider decreasing the per-instance \
             failures or maxFailedInstances.",
        );
    }
    if settings.min_wait_in_running_ms < 0 {
        return refuse("minWaitInInstanceRunningMs must be non-negative.");
    }
    if settings.block_if_no_pulses_after_ms < 0 {
        return refuse("blockIfNoPulsesAfterMs must be positive.");
    }
    if settings.sla_aware && config.sla_policy.is_none() {
        return refuse("slaAware is true, but no task slaPolicy is specified.");
    }
    Ok(())
}

/// Checks what the starter of an update notes.
///
/// # Errors
///
/// The sentence for the client.
pub fn check_metadata(metadata: &BTreeSet<Metadata>) -> Result<(), Invalid> {
    let (count, key, value) = MAX_METADATA;
    let long = |m: &Metadata| m.key.len() > key || m.value.len() > value;
    if metadata.len() > count || metadata.iter().any(long) {
        return Err(Invalid(format!(
            "Update metadata must be at most {count} pairs, with keys of at most {key} and values of \
             at most {value} bytes."
        )));
    }
    Ok(())
}

/// The first instances of `only` that neither run nor are to run; `active` says which run.
pub fn irrelevant(
    only: &[InstanceRange],
    active: impl Fn(InstanceId) -> bool,
    count: u32,
) -> BTreeSet<InstanceId> {
    let mut found = BTreeSet::new();
    for range in only {
        let beyond = range.first.max(count)..=range.last;
        let missing = beyond.filter(|i| !active(*i));
        found.extend(missing.take(NAMED));
    }
    found.into_iter().take(NAMED).collect()
}

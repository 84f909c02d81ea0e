//! From an `update_config` to the settings of an update: the same as in `loader/convert.py`.

use super::node::Misfit;
use crate::client::jobfile::config::{UpdateSettings, UpdateStrategy};
use serde_json::Value;

/// The settings, or the field, seen from the update config, that no update can follow.
pub(super) fn settings(config: &Value) -> Result<UpdateSettings, Misfit> {
    let whole = |name: &str| config[name].as_i64().unwrap_or_default();
    let (batch, watch) = (whole("batch_size"), whole("watch_secs"));
    let pulse = config.get("pulse_interval_secs").and_then(Value::as_i64);
    let strategy = config.get("update_strategy");
    let waits = config["wait_for_batch_completion"] == true;
    let refuse = |name: &str, message: String| Err(Misfit::new(format!(".{name}"), message));
    if batch <= 0 {
        return refuse("batch_size", format!("must be more than 0, is {batch}"));
    }
    if watch < 0 {
        return refuse("watch_secs", format!("must not be negative, is {watch}"));
    }
    if let Some(pulse) = pulse.filter(|pulse| *pulse < 60) {
        return refuse(
            "pulse_interval_secs",
            format!("must be at least 60, is {pulse}"),
        );
    }
    if strategy.is_some() && waits {
        let message = "cannot go with an update_strategy".to_owned();
        return refuse("wait_for_batch_completion", message);
    }
    if strategy.is_some() && batch > 1 {
        let message = "cannot go with an update_strategy, which has its own".to_owned();
        return refuse("batch_size", message);
    }
    let batch = int32("updateGroupSize", batch)?;
    let (group, waits, strategy) = match strategy {
        Some(strategy) => explicit(strategy)?,
        None if waits => (
            batch,
            true,
            UpdateStrategy::BatchStrategy {
                group_size: batch,
                autopause_after_batch: false,
            },
        ),
        None => (
            batch,
            false,
            UpdateStrategy::QueueStrategy { group_size: batch },
        ),
    };
    let millis = |name: &str, secs: i64| int32(name, secs.saturating_mul(1000));
    Ok(UpdateSettings {
        update_group_size: group,
        max_per_instance_failures: int32(
            "maxPerInstanceFailures",
            whole("max_per_shard_failures"),
        )?,
        max_failed_instances: int32("maxFailedInstances", whole("max_total_failures"))?,
        min_wait_in_instance_running_ms: millis("minWaitInInstanceRunningMs", watch)?,
        rollback_on_failure: config["rollback_on_failure"] == true,
        wait_for_batch_completion: waits,
        block_if_no_pulses_after_ms: pulse
            .map(|pulse| millis("blockIfNoPulsesAfterMs", pulse))
            .transpose()?,
        sla_aware: config["sla_aware"] == true,
        update_strategy: strategy,
    })
}

fn int32(name: &str, value: i64) -> Result<i32, Misfit> {
    i32::try_from(value).map_err(|_| Misfit::new("", format!("{name} is out of range: {value}")))
}

/// Group size, batch flag and strategy of a strategy that the file names.
fn explicit(strategy: &Value) -> Result<(i32, bool, UpdateStrategy), Misfit> {
    let sizes: Vec<i64> = match &strategy["batch_sizes"] {
        Value::Array(sizes) => sizes.iter().filter_map(Value::as_i64).collect(),
        _ => strategy["batch_size"].as_i64().into_iter().collect(),
    };
    let small: Option<Vec<i32>> = sizes
        .iter()
        .map(|size| i32::try_from(*size).ok().filter(|size| *size > 0))
        .collect();
    let group_sizes = small.filter(|sizes| !sizes.is_empty()).ok_or_else(|| {
        Misfit::new(
            ".update_strategy",
            format!("batch sizes must be more than 0, are {sizes:?}"),
        )
    })?;
    let group_size = group_sizes[0];
    let pauses = strategy
        .get("autopause_after_batch")
        .map(|flag| flag == true);
    Ok(match (strategy.get("batch_sizes"), pauses) {
        (Some(_), pauses) => {
            let autopause_after_batch = pauses == Some(true);
            let strategy = UpdateStrategy::VarBatchStrategy {
                group_sizes,
                autopause_after_batch,
            };
            (1, false, strategy)
        }
        (None, None) => (
            group_size,
            false,
            UpdateStrategy::QueueStrategy { group_size },
        ),
        (None, Some(autopause_after_batch)) => {
            let strategy = UpdateStrategy::BatchStrategy {
                group_size,
                autopause_after_batch,
            };
            (group_size, true, strategy)
        }
    })
}

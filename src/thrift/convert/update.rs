//! Job updates, both ways.

use super::from_wire::{ConvertError, job_key};
use super::to_wire::{job_key_to_wire, task_config_to_wire};
use crate::base::clock::Timestamp;
use crate::model;
use crate::thrift::api;
use std::collections::BTreeSet;

/// The update that `key` names.
///
/// # Errors
///
/// No valid job, or no id.
pub fn update_key(key: Option<&api::JobUpdateKey>) -> Result<model::UpdateKey, ConvertError> {
    let key = key.ok_or(ConvertError::Unset("key"))?;
    let job = job_key(key.job.as_ref())?;
    let id = key.id.as_deref().filter(|id| !id.trim().is_empty());
    let id = id.ok_or(ConvertError::Unset("update id"))?;
    Ok(model::UpdateKey { job, id: id.into() })
}

/// The model's name for a state.
pub fn update_status(status: api::JobUpdateStatus) -> model::UpdateStatus {
    model::UpdateStatus::from_number(status.number())
        .expect("the model has every state of the interface")
}

/// What a starter notes.
pub fn metadata(pairs: &[api::Metadata]) -> BTreeSet<model::Metadata> {
    let pair = |pair: &api::Metadata| model::Metadata {
        key: pair.key.clone().unwrap_or_default(),
        value: pair.value.clone().unwrap_or_default(),
    };
    pairs.iter().map(pair).collect()
}

/// How an update proceeds. Without a strategy the fields that were there before strategies say it.
///
/// # Errors
///
/// A range of instances that is none.
pub fn update_settings(
    settings: &api::JobUpdateSettings,
) -> Result<model::UpdateSettings, ConvertError> {
    let group_size = settings.update_group_size;
    let strategy = match &settings.update_strategy {
        Some(api::JobUpdateStrategy::QueueStrategy(queue)) => model::UpdateStrategy::Queue {
            group_size: queue.group_size,
        },
        Some(api::JobUpdateStrategy::BatchStrategy(batch)) => model::UpdateStrategy::Batch {
            group_size: batch.group_size,
            autopause: batch.autopause_after_batch,
        },
        Some(api::JobUpdateStrategy::VarBatchStrategy(batches)) => {
            model::UpdateStrategy::VariableBatch {
                group_sizes: batches.group_sizes.clone(),
                autopause: batches.autopause_after_batch,
            }
        }
        Some(api::JobUpdateStrategy::Unknown) => return Err(ConvertError::Strategy),
        None if settings.wait_for_batch_completion => model::UpdateStrategy::Batch {
            group_size,
            autopause: false,
        },
        None => model::UpdateStrategy::Queue { group_size },
    };
    let range = |range: &api::Range| {
        let ends = (u32::try_from(range.first), u32::try_from(range.last));
        match ends {
            (Ok(first), Ok(last)) if first <= last => Ok(model::InstanceRange { first, last }),
            _ => Err(ConvertError::Range(range.first, range.last)),
        }
    };
    let only: Result<_, _> = settings
        .update_only_these_instances
        .iter()
        .map(range)
        .collect();
    Ok(model::UpdateSettings {
        strategy,
        max_per_instance_failures: settings.max_per_instance_failures,
        max_failed_instances: settings.max_failed_instances,
        min_wait_in_running_ms: settings.min_wait_in_instance_running_ms,
        rollback_on_failure: settings.rollback_on_failure,
        only: only?,
        block_if_no_pulses_after_ms: settings.block_if_no_pulses_after_ms,
        sla_aware: settings.sla_aware,
        group_size,
        wait_for_batch_completion: settings.wait_for_batch_completion,
    })
}

/// The interface's name for a state.
pub fn update_status_to_wire(status: model::UpdateStatus) -> api::JobUpdateStatus {
    api::JobUpdateStatus::from_number(status.number())
        .expect("the interface has every state of the model")
}

/// An update's name.
pub fn update_key_to_wire(key: &model::UpdateKey) -> api::JobUpdateKey {
    api::JobUpdateKey {
        job: Some(job_key_to_wire(&key.job)),
        id: Some(key.id.to_string()),
    }
}

/// An update in short, without its state.
pub fn update_summary_to_wire(update: &model::JobUpdate) -> api::JobUpdateSummary {
    let pair = |pair: &model::Metadata| api::Metadata {
        key: Some(pair.key.clone()),
        value: Some(pair.value.clone()),
    };
    api::JobUpdateSummary {
        key: Some(update_key_to_wire(&update.key)),
        user: Some(update.user.clone()),
        state: None,
        metadata: update.metadata.iter().map(pair).collect(),
    }
}

/// Where an update is.
pub fn update_state_to_wire(
    status: model::UpdateStatus,
    created: Timestamp,
    modified: Timestamp,
) -> api::JobUpdateState {
    api::JobUpdateState {
        status: Some(update_status_to_wire(status)),
        created_timestamp_ms: created.as_ms(),
        last_modified_timestamp_ms: modified.as_ms(),
    }
}

/// From where to where an update goes.
pub fn update_instructions_to_wire(update: &model::JobUpdate) -> api::JobUpdateInstructions {
    let group = |group: &model::InstanceConfig| api::InstanceTaskConfig {
        task: Some(task_config_to_wire(&group.config)),
        instances: ranges_to_wire(&group.instances),
    };
    api::JobUpdateInstructions {
        initial_state: update.initial.iter().map(group).collect(),
        desired_state: update.desired.as_ref().map(group),
        settings: Some(settings_to_wire(&update.settings)),
    }
}

/// A change of an update's state.
pub fn update_event_to_wire(event: &model::UpdateEvent) -> api::JobUpdateEvent {
    api::JobUpdateEvent {
        status: Some(update_status_to_wire(event.status)),
        timestamp_ms: event.at.as_ms(),
        user: event.user.as_deref().map(str::to_owned),
        message: event.message.as_deref().map(str::to_owned),
    }
}

/// Something that happened to an instance.
pub fn instance_event_to_wire(event: &model::InstanceUpdateEvent) -> api::JobInstanceUpdateEvent {
    let action = api::JobUpdateAction::from_number(event.action.number());
    api::JobInstanceUpdateEvent {
        instance_id: event.instance.cast_signed(),
        timestamp_ms: event.at.as_ms(),
        action: Some(action.expect("the interface has every action of the model")),
        message: event.message.as_deref().map(str::to_owned),
    }
}

/// Instances.
pub fn ranges_to_wire(ranges: &[model::InstanceRange]) -> Vec<api::Range> {
    let range = |range: &model::InstanceRange| api::Range {
        first: range.first.cast_signed(),
        last: range.last.cast_signed(),
    };
    ranges.iter().map(range).collect()
}

fn settings_to_wire(settings: &model::UpdateSettings) -> api::JobUpdateSettings {
    let strategy = match &settings.strategy {
        model::UpdateStrategy::Batch {
            group_size,
            autopause,
        } => api::JobUpdateStrategy::BatchStrategy(api::BatchJobUpdateStrategy {
            group_size: *group_size,
            autopause_after_batch: *autopause,
        }),
        model::UpdateStrategy::Queue { group_size } => {
            api::JobUpdateStrategy::QueueStrategy(api::QueueJobUpdateStrategy {
                group_size: *group_size,
            })
        }
        model::UpdateStrategy::VariableBatch {
            group_sizes,
            autopause,
        } => api::JobUpdateStrategy::VarBatchStrategy(api::VariableBatchJobUpdateStrategy {
            group_sizes: group_sizes.clone(),
            autopause_after_batch: *autopause,
        }),
    };
    api::JobUpdateSettings {
        update_group_size: settings.group_size,
        max_per_instance_failures: settings.max_per_instance_failures,
        max_failed_instances: settings.max_failed_instances,
        min_wait_in_instance_running_ms: settings.min_wait_in_running_ms,
        rollback_on_failure: settings.rollback_on_failure,
        update_only_these_instances: ranges_to_wire(&settings.only),
        wait_for_batch_completion: settings.wait_for_batch_completion,
        block_if_no_pulses_after_ms: settings.block_if_no_pulses_after_ms,
        sla_aware: settings.sla_aware,
        update_strategy: Some(strategy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_lead_back_and_old_fields_make_a_strategy() {
        let mut settings = api::JobUpdateSettings {
            update_group_size: 3,
            max_failed_instances: 1,
            update_only_these_instances: vec![api::Range { first: 0, last: 2 }],
            ..api::JobUpdateSettings::default()
        };
        let queue = update_settings(&settings).unwrap();
        assert_eq!(
            queue.strategy,
            model::UpdateStrategy::Queue { group_size: 3 }
        );
        let again = update_settings(&settings_to_wire(&queue));
        assert_eq!(again.as_ref(), Ok(&queue));
        settings.wait_for_batch_completion = true;
        let batch = update_settings(&settings).unwrap();
        let expected = model::UpdateStrategy::Batch {
            group_size: 3,
            autopause: false,
        };
        assert_eq!(batch.strategy, expected);
        for (first, last) in [(-1, 3), (3, 2), (5, -1)] {
            settings.update_only_these_instances = vec![api::Range { first, last }];
            let error = update_settings(&settings).unwrap_err();
            assert_eq!(error, ConvertError::Range(first, last));
        }
    }
}

//! Job updates.

use super::*;
use crate::thrift::describe::{thrift_struct, thrift_union};

thrift_struct! {
    /// The name of an update.
    JobUpdateKey {
        1 job "job": opt JobKey,
        2 id "id": opt String,
    }

    /// So many instances at any time.
    QueueJobUpdateStrategy {
        1 group_size "groupSize": plain i32,
    }

    /// One batch after the other.
    BatchJobUpdateStrategy {
        1 group_size "groupSize": plain i32,
        2 autopause_after_batch "autopauseAfterBatch": plain bool,
    }

    /// Batches of different sizes.
    VariableBatchJobUpdateStrategy {
        1 group_sizes "groupSizes": list i32,
        2 autopause_after_batch "autopauseAfterBatch": plain bool,
    }
}

thrift_union! {
    /// In which order instances are updated.
    JobUpdateStrategy or Unknown {
        1 QueueStrategy "queueStrategy": QueueJobUpdateStrategy,
        2 BatchStrategy "batchStrategy": BatchJobUpdateStrategy,
        3 VarBatchStrategy "varBatchStrategy": VariableBatchJobUpdateStrategy,
    }
}

thrift_struct! {
    /// How an update proceeds and when it gives up.
    JobUpdateSettings {
        1 update_group_size "updateGroupSize": plain i32,
        2 max_per_instance_failures "maxPerInstanceFailures": plain i32,
        3 max_failed_instances "maxFailedInstances": plain i32,
        5 min_wait_in_instance_running_ms "minWaitInInstanceRunningMs": plain i32,
        6 rollback_on_failure "rollbackOnFailure": plain bool,
        7 update_only_these_instances "updateOnlyTheseInstances": set Range,
        8 wait_for_batch_completion "waitForBatchCompletion": plain bool,
        9 block_if_no_pulses_after_ms "blockIfNoPulsesAfterMs": plain i32,
        10 sla_aware "slaAware": plain bool,
        11 update_strategy "updateStrategy": opt JobUpdateStrategy,
    }

    /// A step of an update.
    JobUpdateEvent {
        1 status "status": opt JobUpdateStatus,
        2 timestamp_ms "timestampMs": plain i64,
        3 user "user": opt String,
        4 message "message": opt String,
    }

    /// A step of an update at one instance.
    JobInstanceUpdateEvent {
        1 instance_id "instanceId": plain i32,
        2 timestamp_ms "timestampMs": plain i64,
        3 action "action": opt JobUpdateAction,
        4 message "message": opt String,
    }

    /// What instances run.
    InstanceTaskConfig {
        1 task "task": opt TaskConfig,
        2 instances "instances": set Range,
    }

    /// Where an update is.
    JobUpdateState {
        1 status "status": opt JobUpdateStatus,
        2 created_timestamp_ms "createdTimestampMs": plain i64,
        3 last_modified_timestamp_ms "lastModifiedTimestampMs": plain i64,
    }

    /// An update in short.
    JobUpdateSummary {
        5 key "key": opt JobUpdateKey,
        3 user "user": opt String,
        4 state "state": opt JobUpdateState,
        6 metadata "metadata": set Metadata,
    }

    /// From where to where an update goes.
    JobUpdateInstructions {
        1 initial_state "initialState": set InstanceTaskConfig,
        2 desired_state "desiredState": opt InstanceTaskConfig,
        3 settings "settings": opt JobUpdateSettings,
    }

    /// An update.
    JobUpdate {
        1 summary "summary": opt JobUpdateSummary,
        2 instructions "instructions": opt JobUpdateInstructions,
    }

    /// An update and its past.
    JobUpdateDetails {
        1 update "update": opt JobUpdate,
        2 update_events "updateEvents": list JobUpdateEvent,
        3 instance_events "instanceEvents": list JobInstanceUpdateEvent,
    }

    /// An update as it is asked for.
    JobUpdateRequest {
        1 task_config "taskConfig": opt TaskConfig,
        2 instance_count "instanceCount": plain i32,
        3 settings "settings": opt JobUpdateSettings,
        4 metadata "metadata": set Metadata,
    }

    /// Which updates are meant.
    JobUpdateQuery {
        2 role "role": opt String,
        8 key "key": opt JobUpdateKey,
        3 job_key "jobKey": opt JobKey,
        4 user "user": opt String,
        5 update_statuses "updateStatuses": set JobUpdateStatus,
        6 offset "offset": plain i32,
        7 limit "limit": plain i32,
    }
}

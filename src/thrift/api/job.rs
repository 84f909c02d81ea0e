//! Jobs, quota, queries and hosts.

use super::*;
use crate::thrift::describe::thrift_struct;

thrift_struct! {
    /// A bundle of resources, as a quota.
    ResourceAggregate {
        4 resources "resources": set Resource,
    }

    /// A job as it is asked for.
    JobConfiguration {
        9 key "key": opt JobKey,
        7 owner "owner": opt Identity,
        4 cron_schedule "cronSchedule": opt String,
        5 cron_collision_policy "cronCollisionPolicy": opt CronCollisionPolicy,
        6 task_config "taskConfig": opt TaskConfig,
        8 instance_count "instanceCount": plain i32,
    }

    /// How many tasks of a job are where.
    JobStats {
        1 active_task_count "activeTaskCount": plain i32,
        2 finished_task_count "finishedTaskCount": plain i32,
        3 failed_task_count "failedTaskCount": plain i32,
        4 pending_task_count "pendingTaskCount": plain i32,
    }

    /// A job in short.
    JobSummary {
        1 job "job": opt JobConfiguration,
        2 stats "stats": opt JobStats,
        3 next_cron_run_ms "nextCronRunMs": opt i64,
    }

    /// Instances from first to last, both included.
    Range {
        1 first "first": plain i32,
        2 last "last": plain i32,
    }

    /// Instances that run the same.
    ConfigGroup {
        1 config "config": opt TaskConfig,
        3 instances "instances": set Range,
    }

    /// What the instances of a job run.
    ConfigSummary {
        1 key "key": opt JobKey,
        2 groups "groups": set ConfigGroup,
    }

    /// Which tasks are meant; all restrictions hold together, unset and empty ones do not count.
    TaskQuery {
        14 role "role": opt String,
        9 environment "environment": opt String,
        2 job_name "jobName": opt String,
        4 task_ids "taskIds": set String,
        5 statuses "statuses": set ScheduleStatus,
        7 instance_ids "instanceIds": set i32,
        10 slave_hosts "slaveHosts": set String,
        11 job_keys "jobKeys": set JobKey,
        12 offset "offset": plain i32,
        13 limit "limit": plain i32,
    }

    /// The maintenance of a host.
    HostStatus {
        1 host "host": opt String,
        2 mode "mode": opt MaintenanceMode,
    }

    /// How much a role has.
    RoleSummary {
        1 role "role": opt String,
        2 job_count "jobCount": plain i32,
        3 cron_job_count "cronJobCount": plain i32,
    }

    /// Hosts by name.
    Hosts {
        1 host_names "hostNames": set String,
    }

    /// Why a task waits.
    PendingReason {
        1 task_id "taskId": opt String,
        2 reason "reason": opt String,
    }

    /// A host that is to be emptied while its jobs keep their promises.
    HostMaintenanceRequest {
        1 host "host": opt String,
        2 default_sla_policy "defaultSlaPolicy": opt SlaPolicy,
        3 timeout_secs "timeoutSecs": plain i64,
        4 created_timestamp_ms "createdTimestampMs": plain i64,
    }

    /// A tier and its properties.
    TierConfig {
        1 name "name": opt String,
        2 settings "settings": map String,
    }

    /// How a reconciliation is paced.
    ExplicitReconciliationSettings {
        1 batch_size "batchSize": opt i32,
    }
}

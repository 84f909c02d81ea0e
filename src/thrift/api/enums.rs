//! Enums of the interface and the sets of states that clients share with the scheduler.

use crate::thrift::describe::thrift_enum;

thrift_enum! {
    /// How a call ended.
    ResponseCode {
        InvalidRequest "INVALID_REQUEST" = 0,
        Ok "OK" = 1,
        Error "ERROR" = 2,
        Warning "WARNING" = 3,
        AuthFailed "AUTH_FAILED" = 4,
        JobUpdatingError "JOB_UPDATING_ERROR" = 5,
        ErrorTransient "ERROR_TRANSIENT" = 6,
    }

    /// Whether a host is to be emptied.
    MaintenanceMode {
        None "NONE" = 1,
        Scheduled "SCHEDULED" = 2,
        Draining "DRAINING" = 3,
        Drained "DRAINED" = 4,
    }

    /// How a volume is mounted.
    Mode {
        Rw "RW" = 1,
        Ro "RO" = 2,
    }

    /// What a cron run does when the one before still runs.
    CronCollisionPolicy {
        KillExisting "KILL_EXISTING" = 0,
        CancelNew "CANCEL_NEW" = 1,
        RunOverlap "RUN_OVERLAP" = 2,
    }

    /// The state of a task.
    ScheduleStatus {
        Init "INIT" = 11,
        Throttled "THROTTLED" = 16,
        Pending "PENDING" = 0,
        Assigned "ASSIGNED" = 9,
        Starting "STARTING" = 1,
        Running "RUNNING" = 2,
        Finished "FINISHED" = 3,
        Preempting "PREEMPTING" = 13,
        Restarting "RESTARTING" = 12,
        Draining "DRAINING" = 17,
        Failed "FAILED" = 4,
        Killed "KILLED" = 5,
        Killing "KILLING" = 6,
        Lost "LOST" = 7,
        Partitioned "PARTITIONED" = 18,
    }

    /// The state of a job update.
    JobUpdateStatus {
        RollingForward "ROLLING_FORWARD" = 0,
        RollingBack "ROLLING_BACK" = 1,
        RollForwardPaused "ROLL_FORWARD_PAUSED" = 2,
        RollBackPaused "ROLL_BACK_PAUSED" = 3,
        RolledForward "ROLLED_FORWARD" = 4,
        RolledBack "ROLLED_BACK" = 5,
        Aborted "ABORTED" = 6,
        Error "ERROR" = 7,
        Failed "FAILED" = 8,
        RollForwardAwaitingPulse "ROLL_FORWARD_AWAITING_PULSE" = 9,
        RollBackAwaitingPulse "ROLL_BACK_AWAITING_PULSE" = 10,
    }

    /// What an update did to an instance.
    JobUpdateAction {
        InstanceUpdated "INSTANCE_UPDATED" = 1,
        InstanceRolledBack "INSTANCE_ROLLED_BACK" = 2,
        InstanceUpdating "INSTANCE_UPDATING" = 3,
        InstanceRollingBack "INSTANCE_ROLLING_BACK" = 4,
        InstanceUpdateFailed "INSTANCE_UPDATE_FAILED" = 5,
        InstanceRollbackFailed "INSTANCE_ROLLBACK_FAILED" = 6,
    }

    /// What became of a pulse.
    JobUpdatePulseStatus {
        Ok "OK" = 1,
        Finished "FINISHED" = 2,
    }
}

/// The executor that a job gets when it names none.
pub const AURORA_EXECUTOR_NAME: &str = "AuroraExecutor";

/// Where a task's own file system is mounted in its sandbox.
pub const TASK_FILESYSTEM_MOUNT_POINT: &str = "taskfs";

/// The header that asks any scheduler, leader or not, to answer by itself.
pub const BYPASS_LEADER_REDIRECT_HEADER_NAME: &str = "Bypass-Leader-Redirect";

/// States of tasks that are to run or run.
pub const ACTIVE_STATES: &[ScheduleStatus] = &[
    ScheduleStatus::Assigned,
    ScheduleStatus::Draining,
    ScheduleStatus::Killing,
    ScheduleStatus::Pending,
    ScheduleStatus::Preempting,
    ScheduleStatus::Restarting,
    ScheduleStatus::Running,
    ScheduleStatus::Starting,
    ScheduleStatus::Partitioned,
    ScheduleStatus::Throttled,
];

/// States of tasks that hold a place on a host.
pub const SLAVE_ASSIGNED_STATES: &[ScheduleStatus] = &[
    ScheduleStatus::Assigned,
    ScheduleStatus::Draining,
    ScheduleStatus::Killing,
    ScheduleStatus::Preempting,
    ScheduleStatus::Restarting,
    ScheduleStatus::Running,
    ScheduleStatus::Partitioned,
    ScheduleStatus::Starting,
];

/// States of tasks whose processes run.
pub const LIVE_STATES: &[ScheduleStatus] = &[
    ScheduleStatus::Killing,
    ScheduleStatus::Preempting,
    ScheduleStatus::Restarting,
    ScheduleStatus::Draining,
    ScheduleStatus::Partitioned,
    ScheduleStatus::Running,
];

/// States that a task never leaves.
pub const TERMINAL_STATES: &[ScheduleStatus] = &[
    ScheduleStatus::Failed,
    ScheduleStatus::Finished,
    ScheduleStatus::Killed,
    ScheduleStatus::Lost,
];

/// States of updates that still change a job.
pub const ACTIVE_JOB_UPDATE_STATES: &[JobUpdateStatus] = &[
    JobUpdateStatus::RollingForward,
    JobUpdateStatus::RollingBack,
    JobUpdateStatus::RollForwardPaused,
    JobUpdateStatus::RollBackPaused,
    JobUpdateStatus::RollForwardAwaitingPulse,
    JobUpdateStatus::RollBackAwaitingPulse,
];

/// States of updates that wait for a pulse.
pub const AWAITING_PULSE_JOB_UPDATE_STATES: &[JobUpdateStatus] = &[
    JobUpdateStatus::RollForwardAwaitingPulse,
    JobUpdateStatus::RollBackAwaitingPulse,
];

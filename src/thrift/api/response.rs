//! Answers.

use super::*;
use crate::thrift::describe::{thrift_struct, thrift_union};

thrift_struct! {
    /// What each instance of a job would run.
    PopulateJobResult {
        2 task_config "taskConfig": opt TaskConfig,
    }

    /// A role's quota and what it uses.
    GetQuotaResult {
        1 quota "quota": opt ResourceAggregate,
        2 prod_shared_consumption "prodSharedConsumption": opt ResourceAggregate,
        3 non_prod_shared_consumption "nonProdSharedConsumption": opt ResourceAggregate,
        4 prod_dedicated_consumption "prodDedicatedConsumption": opt ResourceAggregate,
        5 non_prod_dedicated_consumption "nonProdDedicatedConsumption": opt ResourceAggregate,
    }

    /// Tasks.
    ScheduleStatusResult {
        1 tasks "tasks": list ScheduledTask,
    }

    /// Jobs.
    GetJobsResult {
        1 configs "configs": set JobConfiguration,
    }

    /// Backups by name.
    ListBackupsResult {
        1 backups "backups": set String,
    }

    /// Hosts after the call.
    StartMaintenanceResult {
        1 statuses "statuses": set HostStatus,
    }

    /// Hosts after the call.
    DrainHostsResult {
        1 statuses "statuses": set HostStatus,
    }

    /// Tasks of a backup.
    QueryRecoveryResult {
        1 tasks "tasks": set ScheduledTask,
    }

    /// Hosts.
    MaintenanceStatusResult {
        1 statuses "statuses": set HostStatus,
    }

    /// Hosts after the call.
    EndMaintenanceResult {
        1 statuses "statuses": set HostStatus,
    }

    /// Roles.
    RoleSummaryResult {
        1 summaries "summaries": set RoleSummary,
    }

    /// Jobs in short.
    JobSummaryResult {
        1 summaries "summaries": set JobSummary,
    }

    /// What a job's instances run.
    ConfigSummaryResult {
        1 summary "summary": opt ConfigSummary,
    }

    /// Why tasks wait.
    GetPendingReasonResult {
        1 reasons "reasons": set PendingReason,
    }

    /// The update that was started.
    StartJobUpdateResult {
        1 key "key": opt JobUpdateKey,
        2 update_summary "updateSummary": opt JobUpdateSummary,
    }

    /// Updates in short.
    GetJobUpdateSummariesResult {
        1 update_summaries "updateSummaries": list JobUpdateSummary,
    }

    /// Updates.
    GetJobUpdateDetailsResult {
        1 details "details": opt JobUpdateDetails,
        2 details_list "detailsList": list JobUpdateDetails,
    }

    /// What became of a pulse.
    PulseJobUpdateResult {
        1 status "status": opt JobUpdatePulseStatus,
    }

    /// What an update would change.
    GetJobUpdateDiffResult {
        1 add "add": set ConfigGroup,
        2 remove "remove": set ConfigGroup,
        3 update "update": set ConfigGroup,
        4 unchanged "unchanged": set ConfigGroup,
    }

    /// The tiers.
    GetTierConfigResult {
        1 default_tier_name "defaultTierName": opt String,
        2 tiers "tiers": set TierConfig,
    }
}

thrift_union! {
    /// The payload of an answer.
    #[expect(clippy::large_enum_variant, reason = "there is one in a call, and it is short-lived")]
    ResponseResult {
        1 PopulateJobResult "populateJobResult": PopulateJobResult,
        3 ScheduleStatusResult "scheduleStatusResult": ScheduleStatusResult,
        4 GetJobsResult "getJobsResult": GetJobsResult,
        5 GetQuotaResult "getQuotaResult": GetQuotaResult,
        6 ListBackupsResult "listBackupsResult": ListBackupsResult,
        7 StartMaintenanceResult "startMaintenanceResult": StartMaintenanceResult,
        8 DrainHostsResult "drainHostsResult": DrainHostsResult,
        9 QueryRecoveryResult "queryRecoveryResult": QueryRecoveryResult,
        10 MaintenanceStatusResult "maintenanceStatusResult": MaintenanceStatusResult,
        11 EndMaintenanceResult "endMaintenanceResult": EndMaintenanceResult,
        17 RoleSummaryResult "roleSummaryResult": RoleSummaryResult,
        18 JobSummaryResult "jobSummaryResult": JobSummaryResult,
        20 ConfigSummaryResult "configSummaryResult": ConfigSummaryResult,
        21 GetPendingReasonResult "getPendingReasonResult": GetPendingReasonResult,
        22 StartJobUpdateResult "startJobUpdateResult": StartJobUpdateResult,
        23 GetJobUpdateSummariesResult "getJobUpdateSummariesResult": GetJobUpdateSummariesResult,
        24 GetJobUpdateDetailsResult "getJobUpdateDetailsResult": GetJobUpdateDetailsResult,
        25 PulseJobUpdateResult "pulseJobUpdateResult": PulseJobUpdateResult,
        26 GetJobUpdateDiffResult "getJobUpdateDiffResult": GetJobUpdateDiffResult,
        27 GetTierConfigResult "getTierConfigResult": GetTierConfigResult,
    }
}

thrift_struct! {
    /// Which cluster answers.
    ServerInfo {
        1 cluster_name "clusterName": opt String,
        3 stats_url_prefix "statsUrlPrefix": opt String,
    }

    /// A sentence about the outcome.
    ResponseDetail {
        1 message "message": opt String,
    }

    /// The answer to any call.
    Response {
        1 response_code "responseCode": opt ResponseCode,
        5 server_info "serverInfo": opt ServerInfo,
        3 result "result": opt ResponseResult,
        6 details "details": list ResponseDetail,
    }
}

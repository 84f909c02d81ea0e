//! The methods of the scheduler's service: their names, arguments and who may call them.

use super::api::*;
use super::catalog::{MethodDoc, StructDoc, TypeDoc};
use super::describe::thrift_struct;
use super::error::ThriftError;
use super::value::{Input, Kind, Output, Read, Value, next_field};

#[cfg(test)]
use crate::base::rng::Rng;

/// Who may call a method once authentication is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody: the method only reads.
    Open,
    /// Users with a permission for the job that the arguments name.
    Job,
    /// Operators.
    Admin,
}

/// The arguments of a method that has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoArguments;

impl Value for NoArguments {
    const DOC: TypeDoc = TypeDoc::Struct(&StructDoc {
        rust_name: "NoArguments",
        is_union: false,
        fields: &[],
    });
    const KIND: Kind = Kind::Struct;

    fn write(&self, out: &mut dyn Output) {
        out.struct_begin();
        out.struct_end();
    }

    fn read(input: &mut dyn Input) -> Read<Self> {
        input.struct_begin()?;
        match next_field(input, &[])? {
            None => Ok(Self),
            Some(field) => {
                Err(ThriftError::new(input.offset(), "unknown field").in_field(field.name))
            }
        }
    }

    #[cfg(test)]
    fn sample(_: &mut Rng) -> Self {
        Self
    }
}

macro_rules! service {
    ($( $variant:ident($args:ty) $idl:literal $access:ident, )+) => {
        /// A call: the method and its arguments.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Request { $(
            #[doc = concat!("`", $idl, "`.")]
            $variant(Box<$args>),
        )+ }

        impl Request {
            /// The names of all methods.
            pub const METHODS: &[&str] = &[ $( $idl, )+ ];

            /// All methods, for those who read about them.
            pub const DOCS: &[MethodDoc] = &[ $( MethodDoc {
                name: $idl,
                access: Access::$access,
                arguments: <$args as Value>::DOC,
            }, )+ ];

            /// The method's name.
            pub const fn name(&self) -> &'static str {
                match self { $( Self::$variant(_) => $idl, )+ }
            }

            /// Who may call the method.
            pub const fn access(&self) -> Access {
                match self { $( Self::$variant(_) => Access::$access, )+ }
            }

            /// Reads the arguments of `method`; `None` if there is no such method.
            ///
            /// # Errors
            ///
            /// When the bytes are not the arguments of that method.
            pub fn read(method: &str, input: &mut dyn Input) -> Read<Option<Self>> {
                Ok(Some(match method {
                    $( $idl => Self::$variant(Box::new(<$args as Value>::read(input)?)), )+
                    _ => return Ok(None),
                }))
            }

            /// Writes the arguments.
            pub fn write(&self, out: &mut dyn Output) {
                match self { $( Self::$variant(args) => args.write(out), )+ }
            }

            /// Some call of the method numbered `index` in [`Request::METHODS`].
            #[cfg(test)]
            pub fn sample(index: usize, rng: &mut Rng) -> Self {
                let makers: &[fn(&mut Rng) -> Self] = &[ $(
                    |rng| Self::$variant(Box::new(<$args as Value>::sample(rng))),
                )+ ];
                makers[index](rng)
            }
        }

    };
}

thrift_struct! {
    /// The arguments of `getJobSummary`.
    GetJobSummary {
        1 role "role": opt String,
    }

    /// The arguments of `getTasksStatus`.
    GetTasksStatus {
        1 query "query": opt TaskQuery,
    }

    /// The arguments of `getTasksWithoutConfigs`.
    GetTasksWithoutConfigs {
        1 query "query": opt TaskQuery,
    }

    /// The arguments of `getPendingReason`.
    GetPendingReason {
        1 query "query": opt TaskQuery,
    }

    /// The arguments of `getConfigSummary`.
    GetConfigSummary {
        1 job "job": opt JobKey,
    }

    /// The arguments of `getJobs`.
    GetJobs {
        1 owner_role "ownerRole": opt String,
    }

    /// The arguments of `getQuota`.
    GetQuota {
        1 owner_role "ownerRole": opt String,
    }

    /// The arguments of `populateJobConfig`.
    PopulateJobConfig {
        1 description "description": opt JobConfiguration,
    }

    /// The arguments of `getJobUpdateSummaries`.
    GetJobUpdateSummaries {
        1 job_update_query "jobUpdateQuery": opt JobUpdateQuery,
    }

    /// The arguments of `getJobUpdateDetails`.
    GetJobUpdateDetails {
        1 key "key": opt JobUpdateKey,
        2 query "query": opt JobUpdateQuery,
    }

    /// The arguments of `getJobUpdateDiff`.
    GetJobUpdateDiff {
        1 request "request": opt JobUpdateRequest,
    }

    /// The arguments of `createJob`.
    CreateJob {
        1 description "description": opt JobConfiguration,
    }

    /// The arguments of `scheduleCronJob`.
    ScheduleCronJob {
        1 description "description": opt JobConfiguration,
    }

    /// The arguments of `descheduleCronJob`.
    DescheduleCronJob {
        4 job "job": opt JobKey,
    }

    /// The arguments of `startCronJob`.
    StartCronJob {
        4 job "job": opt JobKey,
    }

    /// The arguments of `restartShards`.
    RestartShards {
        5 job "job": opt JobKey,
        3 shard_ids "shardIds": set i32,
    }

    /// The arguments of `killTasks`.
    KillTasks {
        4 job "job": opt JobKey,
        5 instances "instances": set i32,
        6 message "message": opt String,
    }

    /// The arguments of `addInstances`.
    AddInstances {
        3 key "key": opt InstanceKey,
        4 count "count": plain i32,
    }

    /// The arguments of `replaceCronTemplate`.
    ReplaceCronTemplate {
        1 config "config": opt JobConfiguration,
    }

    /// The arguments of `startJobUpdate`.
    StartJobUpdate {
        1 request "request": opt JobUpdateRequest,
        3 message "message": opt String,
    }

    /// The arguments of `pauseJobUpdate`.
    PauseJobUpdate {
        1 key "key": opt JobUpdateKey,
        3 message "message": opt String,
    }

    /// The arguments of `resumeJobUpdate`.
    ResumeJobUpdate {
        1 key "key": opt JobUpdateKey,
        3 message "message": opt String,
    }

    /// The arguments of `abortJobUpdate`.
    AbortJobUpdate {
        1 key "key": opt JobUpdateKey,
        3 message "message": opt String,
    }

    /// The arguments of `rollbackJobUpdate`.
    RollbackJobUpdate {
        1 key "key": opt JobUpdateKey,
        2 message "message": opt String,
    }

    /// The arguments of `pulseJobUpdate`.
    PulseJobUpdate {
        1 key "key": opt JobUpdateKey,
    }

    /// The arguments of `setQuota`.
    SetQuota {
        1 owner_role "ownerRole": opt String,
        2 quota "quota": opt ResourceAggregate,
    }

    /// The arguments of `forceTaskState`.
    ForceTaskState {
        1 task_id "taskId": opt String,
        2 status "status": opt ScheduleStatus,
    }

    /// The arguments of `stageRecovery`.
    StageRecovery {
        1 backup_id "backupId": opt String,
    }

    /// The arguments of `queryRecovery`.
    QueryRecovery {
        1 query "query": opt TaskQuery,
    }

    /// The arguments of `deleteRecoveryTasks`.
    DeleteRecoveryTasks {
        1 query "query": opt TaskQuery,
    }

    /// The arguments of `startMaintenance`.
    StartMaintenance {
        1 hosts "hosts": opt Hosts,
    }

    /// The arguments of `drainHosts`.
    DrainHosts {
        1 hosts "hosts": opt Hosts,
    }

    /// The arguments of `maintenanceStatus`.
    MaintenanceStatus {
        1 hosts "hosts": opt Hosts,
    }

    /// The arguments of `endMaintenance`.
    EndMaintenance {
        1 hosts "hosts": opt Hosts,
    }

    /// The arguments of `slaDrainHosts`.
    SlaDrainHosts {
        1 hosts "hosts": opt Hosts,
        2 default_sla_policy "defaultSlaPolicy": opt SlaPolicy,
        3 timeout_secs "timeoutSecs": plain i64,
    }

    /// The arguments of `triggerExplicitTaskReconciliation`.
    TriggerExplicitTaskReconciliation {
        1 settings "settings": opt ExplicitReconciliationSettings,
    }

    /// The arguments of `pruneTasks`.
    PruneTasks {
        1 query "query": opt TaskQuery,
    }

    /// What a method returns, in the wrapper that Thrift puts around it.
    MethodResult {
        0 success "success": opt Response,
    }
}

service! {
    GetRoleSummary(NoArguments) "getRoleSummary" Open,
    GetJobSummary(GetJobSummary) "getJobSummary" Open,
    GetTasksStatus(GetTasksStatus) "getTasksStatus" Open,
    GetTasksWithoutConfigs(GetTasksWithoutConfigs) "getTasksWithoutConfigs" Open,
    GetPendingReason(GetPendingReason) "getPendingReason" Open,
    GetConfigSummary(GetConfigSummary) "getConfigSummary" Open,
    GetJobs(GetJobs) "getJobs" Open,
    GetQuota(GetQuota) "getQuota" Open,
    PopulateJobConfig(PopulateJobConfig) "populateJobConfig" Open,
    GetJobUpdateSummaries(GetJobUpdateSummaries) "getJobUpdateSummaries" Open,
    GetJobUpdateDetails(GetJobUpdateDetails) "getJobUpdateDetails" Open,
    GetJobUpdateDiff(GetJobUpdateDiff) "getJobUpdateDiff" Open,
    GetTierConfigs(NoArguments) "getTierConfigs" Open,
    CreateJob(CreateJob) "createJob" Job,
    ScheduleCronJob(ScheduleCronJob) "scheduleCronJob" Job,
    DescheduleCronJob(DescheduleCronJob) "descheduleCronJob" Job,
    StartCronJob(StartCronJob) "startCronJob" Job,
    RestartShards(RestartShards) "restartShards" Job,
    KillTasks(KillTasks) "killTasks" Job,
    AddInstances(AddInstances) "addInstances" Job,
    ReplaceCronTemplate(ReplaceCronTemplate) "replaceCronTemplate" Job,
    StartJobUpdate(StartJobUpdate) "startJobUpdate" Job,
    PauseJobUpdate(PauseJobUpdate) "pauseJobUpdate" Job,
    ResumeJobUpdate(ResumeJobUpdate) "resumeJobUpdate" Job,
    AbortJobUpdate(AbortJobUpdate) "abortJobUpdate" Job,
    RollbackJobUpdate(RollbackJobUpdate) "rollbackJobUpdate" Job,
    PulseJobUpdate(PulseJobUpdate) "pulseJobUpdate" Job,
    SetQuota(SetQuota) "setQuota" Admin,
    ForceTaskState(ForceTaskState) "forceTaskState" Admin,
    PerformBackup(NoArguments) "performBackup" Admin,
    ListBackups(NoArguments) "listBackups" Admin,
    StageRecovery(StageRecovery) "stageRecovery" Admin,
    QueryRecovery(QueryRecovery) "queryRecovery" Admin,
    DeleteRecoveryTasks(DeleteRecoveryTasks) "deleteRecoveryTasks" Admin,
    CommitRecovery(NoArguments) "commitRecovery" Admin,
    UnloadRecovery(NoArguments) "unloadRecovery" Admin,
    StartMaintenance(StartMaintenance) "startMaintenance" Admin,
    DrainHosts(DrainHosts) "drainHosts" Admin,
    MaintenanceStatus(MaintenanceStatus) "maintenanceStatus" Admin,
    EndMaintenance(EndMaintenance) "endMaintenance" Admin,
    SlaDrainHosts(SlaDrainHosts) "slaDrainHosts" Admin,
    Snapshot(NoArguments) "snapshot" Admin,
    TriggerExplicitTaskReconciliation(TriggerExplicitTaskReconciliation) "triggerExplicitTaskReconciliation" Admin,
    TriggerImplicitTaskReconciliation(NoArguments) "triggerImplicitTaskReconciliation" Admin,
    PruneTasks(PruneTasks) "pruneTasks" Admin,
}

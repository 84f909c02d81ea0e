"""The part of the scheduler's interface that the oracle speaks, described for Apache's Thrift library.

Written by hand from the field numbers of the interface, apart from the program's own description, so that
a wrong number in one of them shows. Needs the package `thrift` from PyPI.
"""

from thrift.Thrift import TType

SCALARS = {
    "bool": (TType.BOOL, None),
    "i32": (TType.I32, None),
    "i64": (TType.I64, None),
    "double": (TType.DOUBLE, None),
    "string": (TType.STRING, "UTF8"),
}


class Struct:
    """Base of the classes made by `struct`: fields by keyword, equal and hashable by content."""

    thrift_spec = ()

    def __init__(self, **fields):
        for entry in self.thrift_spec:
            if entry is not None:
                setattr(self, entry[2], None)
        for name, value in fields.items():
            if not hasattr(self, name):
                raise TypeError("%s has no field %s" % (type(self).__name__, name))
            setattr(self, name, value)

    def read(self, protocol):
        protocol.readStruct(self, self.thrift_spec)

    def write(self, protocol):
        protocol.writeStruct(self, self.thrift_spec)

    def __repr__(self):
        shown = sorted((k, v) for k, v in self.__dict__.items() if v is not None)
        return "%s(%s)" % (type(self).__name__, ", ".join("%s=%r" % pair for pair in shown))

    def __eq__(self, other):
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self):
        return hash((type(self).__name__, repr(sorted(map(str, self.__dict__.items())))))

    def member(self):
        """The one field of a union that is set: (name, value)."""
        found = [(k, v) for k, v in self.__dict__.items() if v is not None]
        if len(found) != 1:
            raise AssertionError("union with %d members: %r" % (len(found), self))
        return found[0]


def kind(text, known):
    """The library's (type, arguments) of a type as the interface writes it."""
    if text in SCALARS:
        return SCALARS[text]
    if text.startswith(("list<", "set<")):
        outer, inner = text.split("<", 1)
        element = kind(inner[:-1], known)
        return (TType.LIST if outer == "list" else TType.SET, element + (False,))
    if text.startswith("map<"):
        key, value = text[4:-1].split(",")
        return (TType.MAP, kind(key, known) + kind(value, known) + (False,))
    cls = known[text]
    return (TType.STRUCT, [cls, cls.thrift_spec])


def struct(name, fields, known):
    """A class for the struct with `fields`, such as `1 role:string, 2 name:string`."""
    spec = []
    for field in filter(None, fields.split("; ")):
        number, rest = field.split(" ")
        label, text = rest.split(":")
        number = int(number)
        spec.extend([None] * (number + 1 - len(spec)))
        spec[number] = (number,) + (kind(text, known)[0], label, kind(text, known)[1], None)
    known[name] = type(name, (Struct,), {"thrift_spec": tuple(spec)})
    return known[name]


STRUCTS = """
Identity = 2 user:string
ValueConstraint = 1 negated:bool; 2 values:set<string>
LimitConstraint = 1 limit:i32
TaskConstraint = 1 value:ValueConstraint; 2 limit:LimitConstraint
Constraint = 1 name:string; 2 constraint:TaskConstraint
Metadata = 1 key:string; 2 value:string
JobKey = 1 role:string; 2 environment:string; 3 name:string
InstanceKey = 1 jobKey:JobKey; 2 instanceId:i32
MesosFetcherURI = 1 value:string; 2 extract:bool; 3 cache:bool; 4 outputFile:string
ExecutorConfig = 1 name:string; 2 data:string
Volume = 1 containerPath:string; 2 hostPath:string; 3 mode:i32
DockerImage = 1 name:string; 2 tag:string
AppcImage = 1 name:string; 2 imageId:string
Image = 1 docker:DockerImage; 2 appc:AppcImage
MesosContainer = 1 image:Image; 2 volumes:list<Volume>
DockerParameter = 1 name:string; 2 value:string
DockerContainer = 1 image:string; 2 parameters:list<DockerParameter>
Container = 1 mesos:MesosContainer; 2 docker:DockerContainer
Resource = 1 numCpus:double; 2 ramMb:i64; 3 diskMb:i64; 4 namedPort:string; 5 numGpus:i64
PartitionPolicy = 1 reschedule:bool; 2 delaySecs:i64
PercentageSlaPolicy = 1 percentage:double; 2 durationSecs:i64
CountSlaPolicy = 1 count:i64; 2 durationSecs:i64
CoordinatorSlaPolicy = 1 coordinatorUrl:string; 2 statusKey:string
SlaPolicy = 1 percentageSlaPolicy:PercentageSlaPolicy; 2 countSlaPolicy:CountSlaPolicy; \
3 coordinatorSlaPolicy:CoordinatorSlaPolicy
TaskConfig = 28 job:JobKey; 17 owner:Identity; 7 isService:bool; 11 priority:i32; 13 maxTaskFailures:i32; \
18 production:bool; 30 tier:string; 32 resources:set<Resource>; 20 constraints:set<Constraint>; \
33 mesosFetcherUris:set<MesosFetcherURI>; 22 taskLinks:map<string,string>; 23 contactEmail:string; \
25 executorConfig:ExecutorConfig; 27 metadata:set<Metadata>; 34 partitionPolicy:PartitionPolicy; \
35 slaPolicy:SlaPolicy; 29 container:Container
ResourceAggregate = 4 resources:set<Resource>
JobConfiguration = 9 key:JobKey; 7 owner:Identity; 4 cronSchedule:string; 5 cronCollisionPolicy:i32; \
6 taskConfig:TaskConfig; 8 instanceCount:i32
JobStats = 1 activeTaskCount:i32; 2 finishedTaskCount:i32; 3 failedTaskCount:i32; 4 pendingTaskCount:i32
JobSummary = 1 job:JobConfiguration; 2 stats:JobStats; 3 nextCronRunMs:i64
Range = 1 first:i32; 2 last:i32
ConfigGroup = 1 config:TaskConfig; 3 instances:set<Range>
ConfigSummary = 1 key:JobKey; 2 groups:set<ConfigGroup>
PopulateJobResult = 2 taskConfig:TaskConfig
GetQuotaResult = 1 quota:ResourceAggregate; 2 prodSharedConsumption:ResourceAggregate; \
3 nonProdSharedConsumption:ResourceAggregate; 4 prodDedicatedConsumption:ResourceAggregate; \
5 nonProdDedicatedConsumption:ResourceAggregate
TaskEvent = 1 timestamp:i64; 2 status:i32; 3 message:string; 4 scheduler:string
AssignedTask = 1 taskId:string; 2 slaveId:string; 3 slaveHost:string; 4 task:TaskConfig; \
5 assignedPorts:map<string,i32>; 6 instanceId:i32
ScheduledTask = 1 assignedTask:AssignedTask; 2 status:i32; 3 failureCount:i32; 6 timesPartitioned:i32; \
4 taskEvents:list<TaskEvent>; 5 ancestorId:string
ScheduleStatusResult = 1 tasks:list<ScheduledTask>
GetJobsResult = 1 configs:set<JobConfiguration>
TaskQuery = 14 role:string; 9 environment:string; 2 jobName:string; 4 taskIds:set<string>; \
5 statuses:set<i32>; 7 instanceIds:set<i32>; 10 slaveHosts:set<string>; 11 jobKeys:set<JobKey>; \
12 offset:i32; 13 limit:i32
RoleSummary = 1 role:string; 2 jobCount:i32; 3 cronJobCount:i32
RoleSummaryResult = 1 summaries:set<RoleSummary>
JobSummaryResult = 1 summaries:set<JobSummary>
ConfigSummaryResult = 1 summary:ConfigSummary
PendingReason = 1 taskId:string; 2 reason:string
GetPendingReasonResult = 1 reasons:set<PendingReason>
TierConfig = 1 name:string; 2 settings:map<string,string>
GetTierConfigResult = 1 defaultTierName:string; 2 tiers:set<TierConfig>
Hosts = 1 hostNames:set<string>
HostStatus = 1 host:string; 2 mode:i32
ListBackupsResult = 1 backups:set<string>
StartMaintenanceResult = 1 statuses:set<HostStatus>
DrainHostsResult = 1 statuses:set<HostStatus>
MaintenanceStatusResult = 1 statuses:set<HostStatus>
EndMaintenanceResult = 1 statuses:set<HostStatus>
QueryRecoveryResult = 1 tasks:set<ScheduledTask>
JobUpdateKey = 1 job:JobKey; 2 id:string
QueueJobUpdateStrategy = 1 groupSize:i32
BatchJobUpdateStrategy = 1 groupSize:i32; 2 autopauseAfterBatch:bool
VariableBatchJobUpdateStrategy = 1 groupSizes:list<i32>; 2 autopauseAfterBatch:bool
JobUpdateStrategy = 1 queueStrategy:QueueJobUpdateStrategy; 2 batchStrategy:BatchJobUpdateStrategy; \
3 varBatchStrategy:VariableBatchJobUpdateStrategy
JobUpdateSettings = 1 updateGroupSize:i32; 2 maxPerInstanceFailures:i32; 3 maxFailedInstances:i32; \
5 minWaitInInstanceRunningMs:i32; 6 rollbackOnFailure:bool; 7 updateOnlyTheseInstances:set<Range>; \
8 waitForBatchCompletion:bool; 9 blockIfNoPulsesAfterMs:i32; 10 slaAware:bool; \
11 updateStrategy:JobUpdateStrategy
JobUpdateEvent = 1 status:i32; 2 timestampMs:i64; 3 user:string; 4 message:string
JobInstanceUpdateEvent = 1 instanceId:i32; 2 timestampMs:i64; 3 action:i32; 4 message:string
InstanceTaskConfig = 1 task:TaskConfig; 2 instances:set<Range>
JobUpdateState = 1 status:i32; 2 createdTimestampMs:i64; 3 lastModifiedTimestampMs:i64
JobUpdateSummary = 5 key:JobUpdateKey; 3 user:string; 4 state:JobUpdateState; 6 metadata:set<Metadata>
JobUpdateInstructions = 1 initialState:set<InstanceTaskConfig>; 2 desiredState:InstanceTaskConfig; \
3 settings:JobUpdateSettings
JobUpdate = 1 summary:JobUpdateSummary; 2 instructions:JobUpdateInstructions
JobUpdateDetails = 1 update:JobUpdate; 2 updateEvents:list<JobUpdateEvent>; \
3 instanceEvents:list<JobInstanceUpdateEvent>
JobUpdateRequest = 1 taskConfig:TaskConfig; 2 instanceCount:i32; 3 settings:JobUpdateSettings; \
4 metadata:set<Metadata>
JobUpdateQuery = 2 role:string; 8 key:JobUpdateKey; 3 jobKey:JobKey; 4 user:string; \
5 updateStatuses:set<i32>; 6 offset:i32; 7 limit:i32
StartJobUpdateResult = 1 key:JobUpdateKey; 2 updateSummary:JobUpdateSummary
GetJobUpdateSummariesResult = 1 updateSummaries:list<JobUpdateSummary>
GetJobUpdateDetailsResult = 1 details:JobUpdateDetails; 2 detailsList:list<JobUpdateDetails>
PulseJobUpdateResult = 1 status:i32
GetJobUpdateDiffResult = 1 add:set<ConfigGroup>; 2 remove:set<ConfigGroup>; 3 update:set<ConfigGroup>; \
4 unchanged:set<ConfigGroup>
ExplicitReconciliationSettings = 1 batchSize:i32
Result = 1 populateJobResult:PopulateJobResult; 3 scheduleStatusResult:ScheduleStatusResult; \
4 getJobsResult:GetJobsResult; 5 getQuotaResult:GetQuotaResult; 6 listBackupsResult:ListBackupsResult; \
7 startMaintenanceResult:StartMaintenanceResult; 8 drainHostsResult:DrainHostsResult; \
9 queryRecoveryResult:QueryRecoveryResult; 10 maintenanceStatusResult:MaintenanceStatusResult; \
11 endMaintenanceResult:EndMaintenanceResult; 17 roleSummaryResult:RoleSummaryResult; \
18 jobSummaryResult:JobSummaryResult; 20 configSummaryResult:ConfigSummaryResult; \
21 getPendingReasonResult:GetPendingReasonResult; 22 startJobUpdateResult:StartJobUpdateResult; \
23 getJobUpdateSummariesResult:GetJobUpdateSummariesResult; \
24 getJobUpdateDetailsResult:GetJobUpdateDetailsResult; 25 pulseJobUpdateResult:PulseJobUpdateResult; \
26 getJobUpdateDiffResult:GetJobUpdateDiffResult; 27 getTierConfigResult:GetTierConfigResult
ServerInfo = 1 clusterName:string; 3 statsUrlPrefix:string
ResponseDetail = 1 message:string
Response = 1 responseCode:i32; 5 serverInfo:ServerInfo; 3 result:Result; 6 details:list<ResponseDetail>
"""

METHODS = """
getRoleSummary =
getJobSummary = 1 role:string
getTasksStatus = 1 query:TaskQuery
getTasksWithoutConfigs = 1 query:TaskQuery
getPendingReason = 1 query:TaskQuery
getConfigSummary = 1 job:JobKey
getJobs = 1 ownerRole:string
getQuota = 1 ownerRole:string
populateJobConfig = 1 description:JobConfiguration
getTierConfigs =
createJob = 1 description:JobConfiguration
restartShards = 5 job:JobKey; 3 shardIds:set<i32>
killTasks = 4 job:JobKey; 5 instances:set<i32>; 6 message:string
addInstances = 3 key:InstanceKey; 4 count:i32
replaceCronTemplate = 1 config:JobConfiguration
getJobUpdateSummaries = 1 jobUpdateQuery:JobUpdateQuery
getJobUpdateDetails = 1 key:JobUpdateKey; 2 query:JobUpdateQuery
getJobUpdateDiff = 1 request:JobUpdateRequest
scheduleCronJob = 1 description:JobConfiguration
descheduleCronJob = 4 job:JobKey
startCronJob = 4 job:JobKey
startJobUpdate = 1 request:JobUpdateRequest; 3 message:string
pauseJobUpdate = 1 key:JobUpdateKey; 3 message:string
resumeJobUpdate = 1 key:JobUpdateKey; 3 message:string
abortJobUpdate = 1 key:JobUpdateKey; 3 message:string
rollbackJobUpdate = 1 key:JobUpdateKey; 2 message:string
pulseJobUpdate = 1 key:JobUpdateKey
setQuota = 1 ownerRole:string; 2 quota:ResourceAggregate
forceTaskState = 1 taskId:string; 2 status:i32
performBackup =
listBackups =
stageRecovery = 1 backupId:string
queryRecovery = 1 query:TaskQuery
deleteRecoveryTasks = 1 query:TaskQuery
commitRecovery =
unloadRecovery =
startMaintenance = 1 hosts:Hosts
drainHosts = 1 hosts:Hosts
maintenanceStatus = 1 hosts:Hosts
endMaintenance = 1 hosts:Hosts
slaDrainHosts = 1 hosts:Hosts; 2 defaultSlaPolicy:SlaPolicy; 3 timeoutSecs:i64
snapshot =
triggerExplicitTaskReconciliation = 1 settings:ExplicitReconciliationSettings
triggerImplicitTaskReconciliation =
pruneTasks = 1 query:TaskQuery
"""


def _lines(text):
    for line in filter(None, text.split("\n")):
        name, _, fields = line.partition(" =")
        yield name, fields.strip()


# Structs of which only one member may be set.
UNIONS = {
    "Container",
    "Image",
    "JobUpdateStrategy",
    "Resource",
    "Result",
    "SlaPolicy",
    "TaskConstraint",
}

TYPES = {}
for _name, _fields in _lines(STRUCTS):
    struct(_name, _fields, TYPES)
globals().update(TYPES)

ARGS = {name: struct(name + "_args", fields, TYPES) for name, fields in _lines(METHODS)}
RESULT = struct("result", "0 success:Response", TYPES)

# Enums.
OK, INVALID_REQUEST, ERROR, ERROR_TRANSIENT = 1, 0, 2, 6
PENDING, STARTING, RUNNING, KILLING, RESTARTING = 0, 1, 2, 6, 12
TERMINAL = {3, 4, 5, 7}

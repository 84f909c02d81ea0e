"""What `answers.py` asks a scheduler: every method of the three services, well and badly."""

import os

from interface import *  # noqa: F403

ROLE, ENVIRONMENT = "www", "devel"
# The host that the one agent is.
HOST = "127.0.0.1"
FINISHED, KILLING, RUN_OVERLAP = 3, 6, 2
HOUR_MS = 3600000


def key(name):
    return JobKey(role=ROLE, environment=ENVIRONMENT, name=name)


BAD = key("a b")
NONE = JobKey()
RESOURCES = (Resource(numCpus=0.5), Resource(ramMb=64), Resource(diskMb=32))


def dedicated(**kind):
    return [Constraint(name="dedicated", constraint=TaskConstraint(**kind))]


def config(name="web", **changes):
    """A task that no machine fits, so that it stays PENDING."""
    nowhere = TaskConstraint(value=ValueConstraint(negated=False, values=["nowhere"]))
    fields = dict(
        job=key(name),
        owner=Identity(user="jane"),
        isService=True,
        priority=0,
        maxTaskFailures=1,
        tier="preemptible",
        resources=list(RESOURCES),
        constraints=[Constraint(name="rack", constraint=nowhere)],
        executorConfig=ExecutorConfig(name="AuroraExecutor", data="{}"),
        metadata=[Metadata(key="team", value="é")],
        container=Container(mesos=MesosContainer()),
    )
    fields.update(changes)
    return TaskConfig(**fields)


def job(name="web", count=2, **changes):
    """A job; changes that are of its tasks go there."""
    own = ("key", "owner", "cronSchedule", "cronCollisionPolicy", "taskConfig", "instanceCount")
    fields = dict(key=key(name), owner=Identity(user="jane"), instanceCount=count)
    fields.update({k: changes.pop(k) for k in own if k in changes})
    fields.setdefault("taskConfig", config(name, **changes))
    return JobConfiguration(**fields)


def cron(name="nightly", **changes):
    return job(name, isService=False, **dict(dict(cronSchedule="0 3 1 1 *", cronCollisionPolicy=1), **changes))


def update(name="web", count=2, task=None, metadata=None, **settings):
    """An update that waits for a pulse before it does anything."""
    fields = dict(
        updateStrategy=JobUpdateStrategy(queueStrategy=QueueJobUpdateStrategy(groupSize=1)),
        maxPerInstanceFailures=0,
        maxFailedInstances=0,
        minWaitInInstanceRunningMs=1000,
        rollbackOnFailure=True,
        blockIfNoPulsesAfterMs=HOUR_MS,
    )
    fields.update(settings)
    return JobUpdateRequest(
        taskConfig=task or config(name, priority=7),
        instanceCount=count,
        settings=JobUpdateSettings(**fields),
        metadata=metadata,
    )


def amount(cpus, ram, disk):
    return ResourceAggregate(
        resources=[Resource(numCpus=cpus), Resource(ramMb=ram), Resource(diskMb=disk)]
    )


def count_policy(count, seconds=60):
    return SlaPolicy(countSlaPolicy=CountSlaPolicy(count=count, durationSecs=seconds))


def share_policy(percentage, seconds=60):
    policy = PercentageSlaPolicy(percentage=percentage, durationSecs=seconds)
    return SlaPolicy(percentageSlaPolicy=policy)


def docker(image="busybox", **changes):
    return Container(docker=DockerContainer(image=image, **changes))


def of_job(name):
    return TaskQuery(jobKeys=[key(name)])


def descriptions():
    """Bad descriptions of jobs, by what is wrong: one of each rule."""
    yield "without a task", job(taskConfig=None)
    yield "no instances", job(count=0)
    yield "no key", job(key=None)
    yield "a bad key", job(key=BAD)
    yield "another environment", job(
        key=JobKey(role=ROLE, environment="moon", name="web"),
        taskConfig=config(job=JobKey(role=ROLE, environment="moon", name="web")),
    )
    yield "a bad owner", job(owner=Identity(user="a b"))
    yield "a key that is not the task's", job(key=key("other"))
    yield "a service by the clock", job(cronSchedule="* * * * *")
    tasks = [
        ("a bad tier", dict(tier="a b")),
        ("an unknown tier", dict(tier="gold")),
        ("no executor", dict(executorConfig=None)),
        ("an executor without a name", dict(executorConfig=ExecutorConfig(data="x"))),
        ("an unknown executor", dict(executorConfig=ExecutorConfig(name="Other", data="x"))),
        ("dedicated by a limit", dict(constraints=dedicated(limit=LimitConstraint(limit=1)))),
        (
            "dedicated to two",
            dict(
                constraints=dedicated(value=ValueConstraint(negated=False, values=["*/a", "www/b"]))
            ),
        ),
        (
            "dedicated to others",
            dict(constraints=dedicated(value=ValueConstraint(negated=False, values=["ads/b"]))),
        ),
        ("docker without an image", dict(container=docker(image=""))),
        (
            "docker with parameters",
            dict(container=docker(parameters=[DockerParameter(name="privileged", value="true")])),
        ),
        ("docker without an executor", dict(container=docker(), executorConfig=None)),
        ("docker", dict(container=docker())),
        (
            "processors and memory twice",
            dict(resources=list(RESOURCES) + [Resource(numCpus=1.0), Resource(ramMb=1)]),
        ),
        ("no processors", dict(resources=[Resource(ramMb=1), Resource(diskMb=1)])),
        ("no memory", dict(resources=[Resource(numCpus=1.0), Resource(diskMb=1)])),
        ("no disk", dict(resources=[Resource(numCpus=1.0), Resource(ramMb=1)])),
        ("a GPU", dict(resources=list(RESOURCES) + [Resource(numGpus=0)])),
        (
            "a file to fetch",
            dict(mesosFetcherUris=[MesosFetcherURI(value="http://x/y", extract=True, cache=False)]),
        ),
        (
            "a volume",
            dict(
                container=Container(
                    mesos=MesosContainer(
                        volumes=[Volume(containerPath="/c", hostPath="/h", mode=2)]
                    )
                )
            ),
        ),
        ("a promise of a low tier", dict(slaPolicy=count_policy(1))),
        ("a promise of few", dict(slaPolicy=count_policy(1), tier="preferred")),
    ]
    for case, changes in tasks:
        yield case, job(**changes)
    promises = [
        ("a promise of all", count_policy(20)),
        ("a promise for long", count_policy(1, 99999)),
        ("a promise of 100 percent", share_policy(100.0)),
        ("a share for long", share_policy(50.0, 99999)),
    ]
    for case, policy in promises:
        yield case, job(count=20, slaPolicy=policy, tier="preferred")


def settings():
    """Bad settings of updates, by what is wrong."""
    batches = VariableBatchJobUpdateStrategy(groupSizes=[1, 0], autopauseAfterBatch=False)
    yield "not a service", update(task=config(isService=False))
    yield "a batch of none", update(updateStrategy=JobUpdateStrategy(varBatchStrategy=batches))
    none = QueueJobUpdateStrategy(groupSize=0)
    yield "groups of none", update(updateStrategy=JobUpdateStrategy(queueStrategy=none))
    yield "groups of none, in the old words", update(updateStrategy=None, updateGroupSize=0)
    yield "an unknown strategy", update(updateStrategy=JobUpdateStrategy())
    yield "failures below zero", update(maxPerInstanceFailures=-1)
    yield "failed instances below zero", update(maxFailedInstances=-1)
    yield "too many failures", update(maxPerInstanceFailures=10001)
    yield "a wait below zero", update(minWaitInInstanceRunningMs=-1)
    yield "patience below zero", update(blockIfNoPulsesAfterMs=-1)
    yield "aware of no promise", update(slaAware=True)
    yield "a bad task", update(task=config(tier="gold"))
    yield "strange instances", update(updateOnlyTheseInstances=[Range(first=7, last=8)])
    yield "no instances", update(count=0)
    yield "no instances of a new job", update("fresh", count=0)
    yield "too many instances", update("fresh", count=4001)
    yield "beyond the quota", update("fresh", task=config("fresh", tier="preferred"))
    yield "of a cron job", update("nightly", task=config("nightly"))


def jobs(ask):
    """createJob and what is done to jobs."""
    ask.step("createJob", "nothing")
    for case, description in descriptions():
        ask.step("createJob", case, description=description)
    ask.step("createJob", "with an empty schedule", description=job(isService=False, cronSchedule=""))
    ask.step("createJob", "too many instances", description=job(count=4001))
    ask.step("createJob", "beyond the quota", description=job(tier="preferred"))
    ask.step("createJob", "good", description=job())
    ask.step("createJob", "again", description=job())
    ask.step("populateJobConfig", "nothing")
    ask.step("populateJobConfig", "bad", description=job(count=0))
    ports = [Resource(namedPort="http"), Resource(namedPort="health"), Resource(namedPort="x")]
    good = cron("other", tier=None, resources=list(RESOURCES) + ports)
    ask.step("populateJobConfig", "good", description=good)

    first = lambda name: InstanceKey(jobKey=key(name), instanceId=0)
    ask.step("addInstances", "nothing")
    ask.step("addInstances", "no key", key=InstanceKey(instanceId=0), count=1)
    ask.step("addInstances", "none", key=first("web"), count=0)
    ask.step("addInstances", "too many", key=first("web"), count=3999)
    absent = InstanceKey(jobKey=key("web"), instanceId=9)
    ask.step("addInstances", "like none", key=absent, count=1)
    ask.step("addInstances", "good", key=first("web"), count=1)
    ask.step("restartShards", "no key", shardIds=[0])
    ask.step("restartShards", "none", job=key("web"), shardIds=[])
    ask.step("restartShards", "not there", job=key("web"), shardIds=[0, 7])
    ask.step("restartShards", "good", job=key("web"), shardIds=[0])
    ask.step("killTasks", "no key")
    ask.step("killTasks", "a bad key", job=BAD)
    ask.step("killTasks", "a long message", job=key("web"), message="x" * 1025)
    ask.step("killTasks", "good", job=key("web"), instances=[2], message="enough")
    ask.step("killTasks", "not there", job=key("web"), instances=[2])


def crons(ask):
    ask.step("scheduleCronJob", "nothing")
    ask.step("scheduleCronJob", "no key", description=cron(key=None))
    ask.step("scheduleCronJob", "a bad task", description=cron(tier="gold"))
    ask.step("scheduleCronJob", "no schedule", description=cron(cronSchedule=None))
    ask.step("scheduleCronJob", "an empty schedule", description=cron(cronSchedule=""))
    for case, text in [("a seventh day", "* * * * 7"), ("both days", "0 0 1 * 1"), ("words", "daily")]:
        ask.step("scheduleCronJob", case, description=cron(cronSchedule=text))
    overlap = cron(cronCollisionPolicy=RUN_OVERLAP)
    ask.step("scheduleCronJob", "with overlap", description=overlap)
    ask.step("scheduleCronJob", "a job that runs", description=cron("web"))
    ask.step("scheduleCronJob", "too many instances", description=cron(instanceCount=4001))
    ask.step("scheduleCronJob", "beyond the quota", description=cron(tier="preferred"))
    ask.step("replaceCronTemplate", "nothing")
    ask.step("replaceCronTemplate", "no key", config=cron(key=None))
    ask.step("replaceCronTemplate", "not there", config=cron())
    ask.step("scheduleCronJob", "good", description=cron())
    ask.step("scheduleCronJob", "again", description=cron(cronSchedule="0 4 1 1 *"))
    ask.step("replaceCronTemplate", "good", config=cron(cronSchedule="*/15 5 1 1 *"))
    ask.step("createJob", "a cron job's name", description=job("nightly"))
    ask.step("startCronJob", "no key")
    ask.step("startCronJob", "not there", job=key("web"))
    ask.step("startCronJob", "good", job=key("nightly"))
    only = InstanceKey(jobKey=key("nightly"), instanceId=0)
    ask.until("getTasksStatus", lambda found: len(found.tasks) == 2, query=of_job("nightly"))
    ask.step("addInstances", "to a cron job", key=only, count=1)
    ask.step("descheduleCronJob", "no key")
    ask.step("descheduleCronJob", "not there", job=key("web"))


def updates(ask):
    ask.step("startJobUpdate", "nothing")
    ask.step("startJobUpdate", "a long message", request=update(), message="x" * 1025)
    for case, request in settings():
        ask.step("startJobUpdate", case, request=request)
    ask.step("startJobUpdate", "nothing to change", request=update(task=config()))
    ask.step("getJobUpdateDiff", "nothing")
    ask.step("getJobUpdateDiff", "of a cron job", request=update("nightly", task=config("nightly")))
    ask.step("getJobUpdateDiff", "a bad task", request=update(task=config(tier="gold")))
    ask.step("getJobUpdateDiff", "good", request=update(count=3))
    ask.step("getJobUpdateDiff", "fewer", request=update(count=1, task=config()))
    notes = [Metadata(key="build", value="7")]
    started = ask.step("startJobUpdate", "good", request=update(metadata=notes), message="go")
    ask.step("startJobUpdate", "a second", request=update())
    ask.step("startJobUpdate", "of a new job", request=update("fresh"))
    busy(ask)
    known, strange = started.key, JobUpdateKey(job=key("web"), id="none")
    for method in ("pauseJobUpdate", "resumeJobUpdate", "rollbackJobUpdate", "abortJobUpdate"):
        ask.step(method, "nothing")
        ask.step(method, "no job", key=JobUpdateKey(id="x"))
        ask.step(method, "not there", key=strange)
        ask.step(method, "a long message", key=known, message="x" * 1025)
    ask.step("pulseJobUpdate", "nothing")
    ask.step("pulseJobUpdate", "no id", key=JobUpdateKey(job=key("web"), id=" "))
    ask.step("pulseJobUpdate", "not there", key=strange)
    ask.step("pauseJobUpdate", "good", key=known, message="stop")
    ask.step("pauseJobUpdate", "again", key=known)
    ask.step("resumeJobUpdate", "good", key=known)
    ask.step("pauseJobUpdate", "once more", key=known)
    ask.step("pulseJobUpdate", "good", key=known)
    ask.step("getJobUpdateSummaries", "nothing")
    query = lambda **fields: JobUpdateQuery(**fields)
    ask.step("getJobUpdateSummaries", "good", jobUpdateQuery=query(jobKey=key("web")))
    ask.step("getJobUpdateSummaries", "of nobody", jobUpdateQuery=query(user="nobody"))
    ask.step("getJobUpdateSummaries", "by state", jobUpdateQuery=query(role=ROLE, updateStatuses=[2]))
    ask.step("getJobUpdateDetails", "nothing")
    ask.step("getJobUpdateDetails", "good", query=query(key=known))
    ask.step("getJobUpdateDetails", "by the old key", key=known)
    ask.step("getJobUpdateDetails", "not there", key=strange)
    ask.step("abortJobUpdate", "good", key=known)
    ask.step("pauseJobUpdate", "what has ended", key=known)
    ask.step("resumeJobUpdate", "what has ended", key=known)
    ask.step("rollbackJobUpdate", "what has ended", key=known)
    ask.step("pulseJobUpdate", "what has ended", key=known)
    other = ask.step("startJobUpdate", "to be rolled back", request=update())
    ask.step("rollbackJobUpdate", "good", key=other.key, message="back")
    ask.step("abortJobUpdate", "good again", key=other.key)


def busy(ask):
    """What is refused while a job is updated."""
    ask.step("createJob", "while it is updated", description=job())
    ask.step("killTasks", "while it is updated", job=key("web"))
    ask.step("restartShards", "while it is updated", job=key("web"), shardIds=[0])
    one = InstanceKey(jobKey=key("web"), instanceId=0)
    ask.step("addInstances", "while it is updated", key=one, count=1)
    ask.step("scheduleCronJob", "while it is updated", description=cron("web"))
    ask.step("replaceCronTemplate", "while it is updated", config=cron("web"))
    ask.step("descheduleCronJob", "while it is updated", job=key("web"))


def reads(ask):
    waits = lambda found: len(found.reasons) == 2 and all(r.reason for r in found.reasons)
    ask.until("getPendingReason", waits, query=of_job("web"))
    for method in ("getTasksStatus", "getTasksWithoutConfigs", "getPendingReason"):
        ask.step(method, "nothing")
        ask.step(method, "a bad key", query=TaskQuery(jobKeys=[BAD]))
        ask.step(method, "good", query=of_job("web"))
    ask.step("getTasksStatus", "a bad name", query=TaskQuery(role=ROLE, environment="x y", jobName="z"))
    ask.step("getTasksStatus", "one of them", query=TaskQuery(jobKeys=[key("web")], instanceIds=[1]))
    ask.step("getTasksStatus", "those that run", query=TaskQuery(jobKeys=[key("web")], statuses=[2]))
    some = TaskQuery(jobKeys=[key("web")], offset=1, limit=5)
    ask.step("getTasksStatus", "a page", query=some)
    hosts = TaskQuery(jobKeys=[key("web")], slaveHosts=["x"])
    ask.step("getPendingReason", "by host", query=hosts)
    states = TaskQuery(jobKeys=[key("web")], statuses=[0])
    ask.step("getPendingReason", "by state", query=states)
    ask.step("getConfigSummary", "no key")
    ask.step("getConfigSummary", "a bad key", job=BAD)
    ask.step("getConfigSummary", "good", job=key("web"))
    ask.step("getJobs", "of everybody")
    ask.step("getJobs", "of nobody", ownerRole="nobody")
    ask.step("getJobs", "good", ownerRole=ROLE)
    ask.step("getJobSummary", "of everybody")
    ask.step("getJobSummary", "good", role=ROLE)
    ask.step("getRoleSummary", "good")
    ask.step("getTierConfigs", "good")


def quotas(ask):
    ask.step("setQuota", "nobody's", ownerRole=" ", quota=amount(1.0, 1, 1))
    ask.step("setQuota", "nothing", ownerRole=ROLE)
    four = ResourceAggregate(resources=list(RESOURCES) + [Resource(namedPort="x")])
    ask.step("setQuota", "four amounts", ownerRole=ROLE, quota=four)
    two = ResourceAggregate(resources=list(RESOURCES)[:2])
    ask.step("setQuota", "two amounts", ownerRole=ROLE, quota=two)
    ask.step("setQuota", "below zero", ownerRole=ROLE, quota=amount(-1.0, 1, 1))
    ask.step("setQuota", "good", ownerRole=ROLE, quota=amount(4.0, 512, 512))
    ask.step("createJob", "within the quota", description=job("paid", tier="preferred"))
    ask.step("createJob", "just beyond it", description=job("more", 9, tier="preferred"))
    one = InstanceKey(jobKey=key("paid"), instanceId=0)
    ask.step("addInstances", "beyond the quota", key=one, count=7)
    ask.step("setQuota", "below what is used", ownerRole=ROLE, quota=amount(0.5, 64, 32))
    ask.step("getQuota", "nobody's", ownerRole="")
    ask.step("getQuota", "of nobody", ownerRole="nobody")
    ask.step("getQuota", "good", ownerRole=ROLE)
    ask.step("descheduleCronJob", "good", job=key("nightly"))


def machines(ask):
    known, strange = Hosts(hostNames=[HOST]), Hosts(hostNames=["elsewhere"])
    policy = share_policy(50.0, 1)
    ask.step("slaDrainHosts", "without a policy", hosts=known, timeoutSecs=1)
    for method in ("startMaintenance", "maintenanceStatus", "slaDrainHosts", "drainHosts", "endMaintenance"):
        more = dict(defaultSlaPolicy=policy, timeoutSecs=600) if method == "slaDrainHosts" else {}
        ask.step(method, "nothing", **more)
        ask.step(method, "not there", hosts=strange, **more)
        ask.step(method, "good", hosts=known, **more)
    ask.step("maintenanceStatus", "afterwards", hosts=known)


def tasks(ask):
    ask.step("forceTaskState", "nothing", status=FINISHED)
    ask.step("forceTaskState", "to nothing", taskId="x")
    ask.step("forceTaskState", "not there", taskId="x", status=FINISHED)
    found = ask.step("getTasksStatus", "one to be ended", query=TaskQuery(jobKeys=[key("web")], instanceIds=[1]))
    task = found.tasks[0].assignedTask.taskId
    ask.step("forceTaskState", "good", taskId=task, status=KILLING)
    ask.step("pruneTasks", "nothing")
    ask.step("pruneTasks", "what runs", query=TaskQuery(statuses=[2]))
    ask.step("pruneTasks", "good", query=TaskQuery(role=ROLE))
    none = ExplicitReconciliationSettings(batchSize=0)
    ask.step("triggerExplicitTaskReconciliation", "nothing")
    ask.step("triggerExplicitTaskReconciliation", "none at once", settings=none)
    some = ExplicitReconciliationSettings(batchSize=10)
    ask.step("triggerExplicitTaskReconciliation", "good", settings=some)
    usual = ExplicitReconciliationSettings()
    ask.step("triggerExplicitTaskReconciliation", "as usual", settings=usual)
    ask.step("triggerImplicitTaskReconciliation", "good")
    ask.step("snapshot", "good")


def recovery(ask, folder):
    paid = of_job("paid")
    # The first backup makes the folder.
    ask.step("performBackup", "good")
    with open(os.path.join(folder, "scheduler-backup-2001-01-01-00-00"), "wb") as out:
        out.write(b"this is no backup")
    ask.step("listBackups", "good")
    for method, args in [
        ("queryRecovery", dict(query=paid)),
        ("deleteRecoveryTasks", dict(query=paid)),
        ("commitRecovery", {}),
    ]:
        ask.step(method, "nothing is loaded", **args)
    ask.step("unloadRecovery", "nothing is loaded")
    ask.step("stageRecovery", "nothing")
    ask.step("stageRecovery", "not there", backupId="no-such-backup")
    ask.step("stageRecovery", "elsewhere", backupId="../agent.key")
    ask.step("stageRecovery", "damaged", backupId="scheduler-backup-2001-01-01-00-00")
    names = os.listdir(folder)
    newest = max(name for name in names if name.startswith("scheduler-backup-"))
    ask.step("stageRecovery", "good", backupId=newest)
    ask.step("stageRecovery", "another", backupId=newest)
    ask.step("queryRecovery", "no query")
    ask.step("queryRecovery", "good", query=paid)
    ask.step("deleteRecoveryTasks", "no query")
    ask.step("deleteRecoveryTasks", "good", query=paid)
    ask.step("queryRecovery", "what was deleted", query=paid)
    ask.step("unloadRecovery", "good")
    ask.step("stageRecovery", "good again", backupId=newest)
    ask.step("commitRecovery", "good")


def everything(ask, folder):
    jobs(ask)
    crons(ask)
    updates(ask)
    reads(ask)
    quotas(ask)
    machines(ask)
    tasks(ask)
    recovery(ask, folder)


def before_storage_is_ready(ask):
    """Good requests to a scheduler that has no log yet."""
    web, one = key("web"), InstanceKey(jobKey=key("web"), instanceId=0)
    change = dict(key=JobUpdateKey(job=web, id="x"))
    hosts = dict(hosts=Hosts(hostNames=[HOST]))
    query = dict(query=of_job("web"))
    args = {
        "addInstances": dict(key=one, count=1),
        "abortJobUpdate": change,
        "createJob": dict(description=job()),
        "deleteRecoveryTasks": query,
        "descheduleCronJob": dict(job=web),
        "drainHosts": hosts,
        "endMaintenance": hosts,
        "forceTaskState": dict(taskId="x", status=FINISHED),
        "getConfigSummary": dict(job=web),
        "getJobUpdateDetails": dict(query=JobUpdateQuery(role=ROLE)),
        "getJobUpdateDiff": dict(request=update()),
        "getJobUpdateSummaries": dict(jobUpdateQuery=JobUpdateQuery(role=ROLE)),
        "getPendingReason": query,
        "getQuota": dict(ownerRole=ROLE),
        "getTasksStatus": query,
        "getTasksWithoutConfigs": query,
        "killTasks": dict(job=web),
        "maintenanceStatus": hosts,
        "pauseJobUpdate": change,
        "populateJobConfig": dict(description=job()),
        "pruneTasks": dict(query=TaskQuery(role=ROLE)),
        "pulseJobUpdate": change,
        "queryRecovery": query,
        "replaceCronTemplate": dict(config=cron()),
        "restartShards": dict(job=web, shardIds=[0]),
        "resumeJobUpdate": change,
        "rollbackJobUpdate": change,
        "scheduleCronJob": dict(description=cron()),
        "setQuota": dict(ownerRole=ROLE, quota=amount(1.0, 1, 1)),
        "slaDrainHosts": dict(hosts, defaultSlaPolicy=share_policy(50.0), timeoutSecs=1),
        "stageRecovery": dict(backupId="scheduler-backup-2001-01-01-00-00"),
        "startCronJob": dict(job=web),
        "startJobUpdate": dict(request=update()),
        "startMaintenance": hosts,
        "triggerExplicitTaskReconciliation": dict(settings=ExplicitReconciliationSettings()),
    }
    for method in sorted(ARGS):
        ask.step(method, "before storage is ready", **args.get(method, {}))


# Methods to which no request is bad while the scheduler leads: they take nothing, or anything.
NEVER_BAD = {
    "getJobSummary",
    "getJobs",
    "getRoleSummary",
    "getTierConfigs",
    "listBackups",
    "performBackup",
    "snapshot",
    "triggerImplicitTaskReconciliation",
    "unloadRecovery",
}


def check_complete(cases, unready):
    """Every method must have been asked well and badly."""
    asked = {}
    for case in cases:
        method, _, what = case.partition(": ")
        asked.setdefault(method, set()).add(what)
    missing = [m for m in sorted(ARGS) if m not in asked]
    if not unready:
        good = lambda what: what.startswith("good")
        missing += [m + ": good" for m in asked if not any(map(good, asked[m]))]
        bad = lambda m: m in NEVER_BAD or any(not good(what) for what in asked[m])
        missing += [m + ": bad" for m in asked if not bad(m)]
    if missing:
        raise AssertionError("not asked: %s" % ", ".join(missing))

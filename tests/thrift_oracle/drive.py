#!/usr/bin/env python3
"""Drives a scheduler's /api with bytes made and read by Apache's Thrift library.

    drive.py --url http://127.0.0.1:8081/api --protocol binary|compact|json [--run] [--role USER]
    drive.py --write-fixtures DIR

The first creates a job, looks at it in every way, kills it, and prints `ok METHOD` for each step; at the
first surprise it says what and ends with status 1. No machine fits the job, so that its tasks stay PENDING
whatever runs there; with --run any machine does, and the tasks must reach RUNNING. The second writes the messages that the unit tests
compare with. Needs the package `thrift` from PyPI.
"""

import argparse
import getpass
import http.client
import json
import os
import sys
import time
import urllib.parse

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.protocol.TJSONProtocol import TJSONProtocol
from thrift.Thrift import TApplicationException, TMessageType
from thrift.transport.TTransport import TMemoryBuffer

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from interface import *  # noqa: E402,F403

PROTOCOLS = {"binary": TBinaryProtocol, "compact": TCompactProtocol, "json": TJSONProtocol}
MEDIA = {name: "application/vnd.apache.thrift." + name for name in PROTOCOLS}


def encode(protocol, method, seqid=1, strict=True, **args):
    """The bytes of a call."""
    buffer = TMemoryBuffer()
    if protocol == "binary":
        out = TBinaryProtocol(buffer, strictWrite=strict)
    else:
        out = PROTOCOLS[protocol](buffer)
    out.writeMessageBegin(method, TMessageType.CALL, seqid)
    ARGS[method](**args).write(out)
    out.writeMessageEnd()
    return buffer.getvalue()


def decode(protocol, method, body, seqid=1):
    """The Response in the bytes of a reply."""
    source = PROTOCOLS[protocol](TMemoryBuffer(body))
    name, kind, number = source.readMessageBegin()
    check("name of the reply", name, method)
    check("sequence number", number, seqid)
    if kind == TMessageType.EXCEPTION:
        failure = TApplicationException()
        failure.read(source)
        raise failure
    check("kind of message", kind, TMessageType.REPLY)
    result = RESULT()
    result.read(source)
    source.readMessageEnd()
    check("a result is set", result.success is not None, True)
    return result.success


def check(what, found, expected):
    if found != expected:
        raise AssertionError("%s: expected %r, found %r" % (what, expected, found))


class Driver:
    def __init__(self, url, protocol, role):
        self.url = urllib.parse.urlsplit(url)
        self.protocol = protocol
        self.seqid = 0
        name = "oracle-%s-%d" % (protocol, os.getpid())
        self.key = JobKey(role=role, environment="devel", name=name)
        self.text = "%s/devel/%s" % (role, name)

    def http(self, body, headers, verb="POST"):
        """(status, headers, body) of one exchange."""
        link = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=30)
        try:
            link.putrequest(verb, self.url.path, skip_accept_encoding=True)
            for name, value in headers:
                link.putheader(name, value)
            link.putheader("Content-Length", str(len(body)))
            link.endheaders(body)
            answer = link.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            link.close()

    def call(self, method, code=OK, says=None, strict=True, **args):
        """The result of a call that must end with `code` and, if given, say `says`."""
        self.seqid += 1
        media = MEDIA[self.protocol]
        body = encode(self.protocol, method, self.seqid, strict, **args)
        headers = [("Content-Type", media), ("Accept", media)]
        status, answer, body = self.http(body, headers)
        check(method + ": status", status, 200)
        check(method + ": type", answer["Content-Type"], media)
        response = decode(self.protocol, method, body, self.seqid)
        said = None if response.details is None else [d.message for d in response.details]
        check("%s: code (it said %r)" % (method, said), response.responseCode, code)
        if says is not None and (not said or says not in said[0]):
            raise AssertionError("%s: expected %r, found %r" % (method, says, said))
        if code == OK and says is None:
            check(method + ": details", said, [])
        check(method + ": serverInfo", response.serverInfo is not None, True)
        check(method + ": cluster", bool(response.serverInfo.clusterName), True)
        return None if response.result is None else response.result.member()

    def read(self, method, member, **args):
        found, value = self.call(method, **args)
        check(method + ": member", found, member)
        return value

    def tasks(self, method="getTasksStatus", **query):
        query = TaskQuery(
            role=self.key.role, environment=self.key.environment, jobName=self.key.name, **query
        )
        return self.read(method, "scheduleStatusResult", query=query).tasks

    def active(self):
        return {t.assignedTask.instanceId for t in self.tasks() if t.status not in TERMINAL}

    def until_running(self):
        """Waits until the two tasks run."""
        deadline = time.monotonic() + 60
        while [t.status for t in self.tasks()] != [RUNNING, RUNNING]:
            if time.monotonic() > deadline:
                states = [(t.assignedTask.instanceId, t.taskEvents) for t in self.tasks()]
                raise AssertionError("expected two tasks that run, found %r" % states)
            time.sleep(0.1)

    def until_active(self, expected):
        """Waits until exactly these instances are active."""
        deadline = time.monotonic() + 60
        while self.active() != expected:
            if time.monotonic() > deadline:
                states = [(t.assignedTask.instanceId, t.status) for t in self.tasks()]
                raise AssertionError("expected %r active, found %r" % (expected, states))
            time.sleep(0.1)


def executor_data(key):
    """A job that sleeps, as our client describes it to the executor."""
    process = {
        "name": "sleep",
        "cmdline": "sleep 600",
        "daemon": False,
        "ephemeral": False,
        "final": False,
        "max_failures": 1,
        "min_duration": 5,
    }
    task = {
        "name": key.name,
        "processes": [process],
        "constraints": [{"order": ["sleep"]}],
        "resources": {"cpu": 0.01, "ram": 1048576, "disk": 1048576},
        "max_failures": 1,
        "max_concurrency": 0,
        "finalization_wait": 5,
    }
    job = {
        "role": key.role,
        "environment": key.environment,
        "name": key.name,
        "cluster": "oracle",
        "service": False,
        "task": task,
    }
    return json.dumps(job, sort_keys=True)


def job(key, run=False, **changes):
    """A description that uses most of the fields; machines fit it only if it is to run."""
    config = TaskConfig(
        job=key,
        owner=Identity(user="oracle"),
        isService=False,
        priority=3,
        maxTaskFailures=-1,
        production=True,
        resources=[
            Resource(numCpus=0.01),
            Resource(ramMb=1),
            Resource(diskMb=1),
            Resource(namedPort="http"),
        ],
        constraints=[
            Constraint(
                name="host", constraint=TaskConstraint(limit=LimitConstraint(limit=1000000))
            ),
            Constraint(
                name="rack",
                constraint=TaskConstraint(
                    value=ValueConstraint(negated=run, values=["nowhere"])
                ),
            ),
        ],
        contactEmail="oracle@example.com",
        executorConfig=ExecutorConfig(name="AuroraExecutor", data=executor_data(key)),
        metadata=[Metadata(key="é \"quoted\" \\", value="𝄞\n")],
        partitionPolicy=PartitionPolicy(reschedule=True, delaySecs=30),
        container=Container(mesos=MesosContainer()),
    )
    fields = dict(key=key, owner=Identity(user="oracle"), cronCollisionPolicy=0)
    fields.update(taskConfig=config, instanceCount=2)
    fields.update(changes)
    return JobConfiguration(**fields)


def check_config(config, sent):
    """What came back of a configuration: as sent, with the rest populated."""
    check("job", config.job, sent.job)
    check("owner", config.owner, sent.owner)
    check("tier", config.tier, "preemptible")
    check("production", config.production, False)
    check("priority", config.priority, 3)
    check("maxTaskFailures", config.maxTaskFailures, -1)
    check("isService", config.isService, False)
    check("resources", set(config.resources), set(sent.resources))
    check("contactEmail", config.contactEmail, sent.contactEmail)
    check("metadata", set(config.metadata), set(sent.metadata))
    check("partitionPolicy", config.partitionPolicy, sent.partitionPolicy)
    check("taskLinks", config.taskLinks, {"http": "http://%host%:%port:http%"})
    check("container", config.container.member()[0], "mesos")
    check("mesosFetcherUris", config.mesosFetcherUris, set())
    limits = {c.name: c.constraint.member() for c in config.constraints}
    check("constraint host", limits["host"], ("limit", LimitConstraint(limit=1000000)))
    check("constraint rack", limits["rack"][1].values, {"nowhere"})
    given = next(c for c in sent.constraints if c.name == "rack")
    check("constraint rack", limits["rack"][1].negated, given.constraint.value.negated)


def amounts(aggregate):
    return dict(r.member() for r in aggregate.resources)


def reads(driver, sent):
    """Every way to look at the job, which has two active instances."""
    tasks = driver.tasks()
    check("instances", sorted(t.assignedTask.instanceId for t in tasks), [0, 1])
    for task in tasks:
        check_config(task.assignedTask.task, sent.taskConfig)
        check("data", task.assignedTask.task.executorConfig, sent.taskConfig.executorConfig)
        check("first event", task.taskEvents[0].status, PENDING)
        check("time of the first event", task.taskEvents[0].timestamp > 1500000000000, True)
        check("task id", driver.key.name in task.assignedTask.taskId, True)
    check("one instance", len(driver.tasks(instanceIds={1})), 1)
    check("limit", len(driver.tasks(limit=1)), 1)
    check("offset", len(driver.tasks(offset=1)), 1)
    check("no such state", driver.tasks(statuses={7}), [])
    ids = {tasks[0].assignedTask.taskId}
    check("by id", [t.assignedTask.taskId for t in driver.tasks(taskIds=ids)], list(ids))
    ok("getTasksStatus")

    for task in driver.tasks("getTasksWithoutConfigs"):
        config = task.assignedTask.task
        check_config(config, sent.taskConfig)
        check("executor without data", config.executorConfig, ExecutorConfig(name="AuroraExecutor"))
    ok("getTasksWithoutConfigs")

    jobs = driver.read("getJobs", "getJobsResult", ownerRole=driver.key.role).configs
    jobs = [j for j in jobs if j.key == driver.key]
    check("jobs", [j.instanceCount for j in jobs], [2])
    check_config(jobs[0].taskConfig, sent.taskConfig)
    ok("getJobs")

    found = driver.read("getJobSummary", "jobSummaryResult", role=driver.key.role).summaries
    found = [s for s in found if s.job.key == driver.key]
    check("summaries", len(found), 1)
    stats = found[0].stats
    check("tasks counted", stats.activeTaskCount + stats.pendingTaskCount, 2)
    ok("getJobSummary")

    roles = driver.read("getRoleSummary", "roleSummaryResult").summaries
    roles = [r for r in roles if r.role == driver.key.role]
    check("role is there with jobs", [r.jobCount >= 1 for r in roles], [True])
    ok("getRoleSummary")

    summary = driver.read("getConfigSummary", "configSummaryResult", job=driver.key).summary
    check("key of the summary", summary.key, driver.key)
    ranges = [group.instances for group in summary.groups]
    check("groups", ranges, [{Range(first=0, last=1)}])
    ok("getConfigSummary")

    query = TaskQuery(jobKeys=[driver.key])
    driver.read("getPendingReason", "getPendingReasonResult", query=query)
    query = TaskQuery(jobKeys=[driver.key], statuses={PENDING})
    driver.call("getPendingReason", INVALID_REQUEST, "Statuses is not supported in", query=query)
    ok("getPendingReason")

    quota = driver.read("getQuota", "getQuotaResult", ownerRole=driver.key.role)
    check("kinds of quota", sorted(amounts(quota.quota)), ["diskMb", "numCpus", "ramMb"])
    used = amounts(quota.nonProdSharedConsumption)
    check("used", used["ramMb"] >= 2 and used["diskMb"] >= 2, True)
    ok("getQuota")


def changes(driver, sent, run):
    """Makes the job, changes it, and ends it."""
    # The one change whose success says something: the line that the guide shows.
    driver.call("createJob", says="new tasks pending for job " + driver.text, description=sent)
    driver.call(
        "createJob", INVALID_REQUEST, "Job %s already exists" % driver.text, description=sent
    )
    ok("createJob")
    if run:
        driver.until_running()
        ok("RUNNING")
    reads(driver, sent)

    key = InstanceKey(jobKey=driver.key, instanceId=0)
    driver.call("addInstances", key=key, count=1)
    check("active instances", driver.active(), {0, 1, 2})
    driver.call("addInstances", INVALID_REQUEST, "must be positive", key=key, count=0)
    absent = InstanceKey(jobKey=driver.key, instanceId=77)
    driver.call(
        "addInstances",
        INVALID_REQUEST,
        "No active task found for a given instance ID.",
        key=absent,
        count=1,
    )
    ok("addInstances")

    driver.call("restartShards", job=driver.key, shardIds={0})
    driver.call(
        "restartShards",
        INVALID_REQUEST,
        "Not all requested shards are active.",
        job=driver.key,
        shardIds={0, 77},
    )
    driver.call("restartShards", ERROR, job=driver.key)
    check("active instances", driver.active() | {0}, {0, 1, 2})
    ok("restartShards")

    driver.call("killTasks", job=driver.key, instances={2}, message="by number")
    driver.until_active({0, 1})
    driver.call("killTasks", job=driver.key)
    driver.until_active(set())
    driver.call("killTasks", OK, "No tasks to kill.", job=driver.key)
    ok("killTasks")


def refusals(driver):
    bad = JobKey(role=driver.key.role, environment="devel", name="a b")
    driver.call("createJob", INVALID_REQUEST, "is invalid", description=job(bad))
    other = JobKey(role=driver.key.role, environment="moon", name="a")
    driver.call("createJob", INVALID_REQUEST, "doesn't match", description=job(other))
    sent = job(driver.key, cronSchedule="* * * * *")
    driver.call("createJob", INVALID_REQUEST, "scheduleCronJob", description=sent)
    sent = job(driver.key, instanceCount=0)
    driver.call("createJob", INVALID_REQUEST, "must be positive", description=sent)
    ok("createJob (refusals)")
    sent = job(driver.key)
    driver.call("replaceCronTemplate", INVALID_REQUEST, "has no cron schedule", config=sent)
    ok("replaceCronTemplate (refusals)")


def populate(driver, sent):
    result = driver.read("populateJobConfig", "populateJobResult", description=sent)
    check_config(result.taskConfig, sent.taskConfig)
    sent = job(driver.key, instanceCount=0)
    driver.call("populateJobConfig", INVALID_REQUEST, "Invalid configuration: ", description=sent)
    ok("populateJobConfig")


def tiers(driver):
    result = driver.read("getTierConfigs", "getTierConfigResult")
    check("default tier", result.defaultTierName, "preemptible")
    settings = {tier.name: tier.settings for tier in result.tiers}
    expected = {
        "preferred": {"preemptible": "false", "revocable": "false"},
        "preemptible": {"preemptible": "true", "revocable": "false"},
        "revocable": {"preemptible": "true", "revocable": "true"},
    }
    check("tiers", settings, expected)
    if driver.protocol == "binary":
        driver.call("getTierConfigs", strict=False)
    ok("getTierConfigs")


def negotiation(driver):
    """Content types in and out."""
    into = [(None, "json"), ("application/x-thrift", "json"), ("application/json", "json")]
    into += [(media, protocol) for protocol, media in MEDIA.items()]
    into += [("application/vnd.apache.thrift.json; charset=utf-8", "json")]
    for media, protocol in into:
        headers = [] if media is None else [("Content-Type", media)]
        status, answer, body = driver.http(encode(protocol, "getTierConfigs"), headers)
        check("status for Content-Type %r" % media, status, 200)
        check("type for Content-Type %r" % media, answer["Content-Type"], MEDIA["json"])
        check("code", decode("json", "getTierConfigs", body).responseCode, OK)
    for media in ["application/json; charset=utf-8", "text/plain"]:
        status, _, body = driver.http(encode("json", "getTierConfigs"), [("Content-Type", media)])
        check("status for Content-Type %r" % media, status, 415)
        check("refusal", body.decode(), "Unsupported Content-Type: " + media)
    out = [(media, protocol) for protocol, media in MEDIA.items()]
    out += [("*/*", "json"), ("nonsense", "json"), ("text/html, " + MEDIA["binary"], "json")]
    for accept, protocol in out:
        headers = [("Content-Type", MEDIA["compact"]), ("Accept", accept)]
        status, answer, body = driver.http(encode("compact", "getTierConfigs"), headers)
        check("status for Accept %r" % accept, status, 200)
        check("type for Accept %r" % accept, answer["Content-Type"], MEDIA[protocol])
        check("code", decode(protocol, "getTierConfigs", body).responseCode, OK)
    status, _, body = driver.http(encode("json", "getTierConfigs"), [], verb="GET")
    check("status of GET", status, 200)
    check("code", decode("json", "getTierConfigs", body).responseCode, OK)
    ok("content types")


def failures(driver):
    """What is no message, and what is no method."""
    media = MEDIA[driver.protocol]
    headers = [("Content-Type", media), ("Accept", media)]
    for body in [b"", b"\x00", encode(driver.protocol, "getTierConfigs")[:-2]]:
        check("status of %r" % body, driver.http(body, headers)[0], 500)
    ARGS["noSuchMethod"] = ARGS["getTierConfigs"]
    status, _, body = driver.http(encode(driver.protocol, "noSuchMethod", 5), headers)
    check("status", status, 200)
    try:
        decode(driver.protocol, "noSuchMethod", body, 5)
        raise AssertionError("noSuchMethod was answered")
    except TApplicationException as failure:
        check("type", failure.type, TApplicationException.UNKNOWN_METHOD)
    ok("failures")


def ok(what):
    print("ok " + what, flush=True)


def write_fixtures(folder):
    """Calls that the unit tests read, in every protocol."""
    key = JobKey(role="www", environment="devel", name="hello")
    sent = job(key, cronSchedule="5 * * * *")
    # Collections that a set could reorder have one member here or are lists, so the bytes are stable.
    for protocol in PROTOCOLS:
        calls = {
            "createJob": encode(protocol, "createJob", 7, description=sent),
            "killTasks": encode(protocol, "killTasks", -1, job=key, instances=[3, 300, 70000]),
            "getTierConfigs": encode(protocol, "getTierConfigs", 2147483647),
        }
        for name, body in calls.items():
            with open(os.path.join(folder, "%s.%s" % (name, protocol)), "wb") as out:
                out.write(body)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    parser.add_argument("--protocol", choices=sorted(PROTOCOLS), default="binary")
    parser.add_argument("--role", default=getpass.getuser())
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--write-fixtures", metavar="DIR")
    options = parser.parse_args()
    if options.write_fixtures:
        write_fixtures(options.write_fixtures)
        return 0
    driver = Driver(options.url, options.protocol, options.role)
    sent = job(driver.key, options.run)
    try:
        tiers(driver)
        populate(driver, sent)
        refusals(driver)
        changes(driver, sent, options.run)
        negotiation(driver)
        failures(driver)
    except (AssertionError, TApplicationException, OSError, EOFError) as failure:
        print("FAILED %s: %s" % (options.protocol, failure), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

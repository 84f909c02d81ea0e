"""From a Job to what the API takes, checking everything that can be checked here."""

import json
import re

from . import place, plan, ports, refs
from .containers import ListBase
from .errors import FieldError, LoadError
from .schema import AURORA_EXECUTOR_NAME, MB
from .values import Empty, Run

_IDENTIFIER = re.compile(r"^[\w\-.]+\Z")
_LIMIT = re.compile(r"^limit:(\d+)\Z")
_LEFT_TO_RUNTIME = (
    ((".", "thermos"), (".", "task_id")),
    ((".", "mesos"), (".", "instance")),
    ((".", "mesos"), (".", "hostname")),
)
_MAY_BE_CLEARED = ("constraints", "health_check_config", "health_checker", "lifecycle", "metadata")
_INT32 = 2**31 - 1


def _is_runtime(ref):
    components = ref.components
    if components in _LEFT_TO_RUNTIME:
        return True
    return _port_of(ref) is not None


def _port_of(ref):
    components = ref.components
    if len(components) == 3 and components[:2] == ((".", "thermos"), (".", "ports")):
        kind, name = components[2]
        return name if kind == "[" else None
    return None


class Converter(object):
    """Converts one job; every error knows the field and, where it can, the line."""

    def __init__(self, job, file, user, root):
        self._file = file
        self._user = user
        self._root = root
        self._source = job
        self._run = Run()
        self._run.path.append(root)
        self._rendered = job._render(self._run, refs.NOTHING)
        self.job = None
        self.warnings = []

    def convert(self):
        """The answer's entry for the job."""
        self._refuse_findings(self._run)
        self._check_leftovers()
        self._check_cleared(self._rendered, "")
        self.job = self._rendered._plain()
        self._check_identifiers()
        self._check_plan()
        return {
            "key": {name: self.job[name] for name in ("cluster", "role", "environment", "name")},
            "job": _sorted(self.job),
            "config": {
                "owner": self._user,
                "cronSchedule": self.job.get("cron_schedule"),
                "cronCollisionPolicy": self._collision_policy(),
                "instanceCount": self._int32("instances", 1),
                "taskConfig": self._task_config(),
            },
            "update": self._update(),
            "enable_hooks": self.job["enable_hooks"],
        }

    # Errors.

    def fail(self, field, message, kind="type"):
        """A LoadError at `field` (a path below the job), with the line that gave it."""
        where = self._place_of(field)
        return LoadError(kind, message, where[0], where[1], self._root + field)

    def _place_of(self, field):
        """The line of the innermost struct on the way to `field` that says where it is from."""
        steps = re.findall(r"\.\w+|\[[^\]]*\]", field)
        return place.of_field(self._source, steps) or (self._file, None)

    def _refuse_findings(self, run):
        for problem in run.problems:
            where = problem.place or (self._file, None)
            raise LoadError(problem.kind, problem.what, where[0], where[1], problem.field)
        for open_ref in run.unbound:
            if not _is_runtime(open_ref.what):
                self._refuse_unbound(open_ref)

    def _refuse_unbound(self, finding):
        where = finding.place or (self._file, None)
        raise LoadError(
            "unbound",
            "%s has no value; bind it with .bind() or --bind" % finding.what,
            where[0],
            where[1],
            finding.field,
        )

    def _check_leftovers(self):
        """Refuses references that appear only once the executor has put its values in."""
        names = {"mesos.instance": "0", "mesos.hostname": "host", "thermos.task_id": "task"}
        for finding in self._run.unbound:
            port = _port_of(finding.what)
            if port is not None:
                names["thermos.ports[%s]" % port] = "1"
        if not self._run.unbound:
            return
        run = Run()
        run.path.append(self._root)
        self._source.in_scope(names)._render(run, refs.NOTHING)
        for finding in run.unbound:
            self._refuse_unbound(finding)
        self._refuse_findings(run)

    # Checks.

    def _check_cleared(self, value, field):
        """Refuses Empty where the default stands for something that cannot be absent."""
        if isinstance(value, ListBase):
            for index, item in enumerate(value):
                self._check_cleared(item, "%s[%d]" % (field, index))
        if not value._is_struct:
            return
        for name, declared in type(value)._fields.items():
            inner, path = value._values[name], "%s.%s" % (field, name)
            if inner is not Empty:
                self._check_cleared(inner, path)
            elif declared.default is not Empty and name not in _MAY_BE_CLEARED:
                raise self.fail(path, "cannot be Empty; leave it out to have its default")

    def _check_identifiers(self):
        for name in ("role", "environment", "name"):
            if not _IDENTIFIER.match(self.job[name]):
                raise self.fail(
                    "." + name,
                    "%r may hold only letters, digits, and . _ -" % self.job[name],
                )

    def _check_plan(self):
        try:
            plan.check(self.job["task"])
        except plan.PlanError as error:
            raise self.fail(".task" + error.step, str(error))

    def _int32(self, name, lowest=-_INT32):
        value = self.job[name]
        if not lowest <= value <= _INT32:
            raise self.fail("." + name, "%s is out of range" % value)
        return value

    # Parts.

    def _collision_policy(self):
        policy = self.job["cron_collision_policy"].upper()
        known = ("KILL_EXISTING", "CANCEL_NEW", "RUN_OVERLAP")
        if policy not in known:
            raise self.fail(
                ".cron_collision_policy", "expected one of %s, got %r" % (", ".join(known), policy)
            )
        return policy

    def _task_config(self):
        job = self.job
        return {
            "isService": job["service"],
            "priority": self._int32("priority"),
            "maxTaskFailures": self._int32("max_task_failures"),
            "production": job["production"],
            "tier": job.get("tier"),
            "contactEmail": job.get("contact"),
            "resources": self._resources(),
            "constraints": self._constraints(),
            "metadata": self._metadata(),
            "partitionPolicy": self._partition_policy(),
            "slaPolicy": self._sla_policy(),
            "container": self._container(),
            "executorConfig": self._executor_config(),
        }

    def _resources(self):
        got = self.job["task"].get("resources")
        if got is None:
            raise self.fail(".task.resources", "is required and not set")
        ram, disk = got["ram"] // MB, got["disk"] // MB
        for name, amount, unit in (
            ("cpu", got["cpu"], ""),
            ("ram", ram, " MB"),
            ("disk", disk, " MB"),
        ):
            if not amount > 0 or amount == float("inf"):
                least = "more than 0" if name == "cpu" else "at least 1 MB"
                raise self.fail(".task.resources." + name, "must be %s, is %s" % (least, got[name]))
        resources = [{"numCpus": got["cpu"]}, {"ramMb": ram}, {"diskMb": disk}]
        if got["gpu"] > 0:
            resources.append({"numGpus": got["gpu"]})
        return resources + [{"namedPort": name} for name in self._ports()]

    def _ports(self):
        inside = self._root + ".task.processes["
        referenced = set()
        for finding in self._run.unbound:
            port = _port_of(finding.what)
            if port is not None and finding.field.startswith(inside):
                referenced.add(port)
        announce = self.job.get("announce")
        portmap = announce["portmap"] if announce else {}
        try:
            wanted = ports.requested(referenced, portmap)
            numbers = [end for end in ports.resolved(portmap).values() if isinstance(end, int)]
        except FieldError as error:
            raise self.fail(".announce.portmap", error.reason)
        if announce:
            self._check_announce(announce, referenced, numbers)
        return wanted

    def _check_announce(self, announce, referenced, numbers):
        primary = announce["primary_port"]
        if primary not in referenced and primary not in announce["portmap"]:
            self.warnings.append(
                "announced port %s is neither used by a process nor in the portmap" % primary
            )
        if numbers and "dedicated" not in self.job.get("constraints", {}):
            raise self.fail(
                ".announce.portmap",
                "fixed port numbers need a host of their own: a constraint 'dedicated'",
            )

    def _constraints(self):
        converted = []
        for name, value in sorted(self.job.get("constraints", {}).items()):
            limit = _LIMIT.match(value)
            if limit:
                number = int(limit.group(1))
                if number > _INT32:
                    raise self.fail(".constraints[%s]" % name, "%s is out of range" % number)
                constraint = {"limit": {"limit": number}}
            else:
                negated = value.startswith("!")
                words = (value[1:] if negated else value).split(",")
                constraint = {"value": {"negated": negated, "values": words}}
            converted.append({"name": name, "constraint": constraint})
        return converted

    def _metadata(self):
        pairs = {(one["key"], one["value"]) for one in self.job.get("metadata", [])}
        return [{"key": key, "value": value} for key, value in sorted(pairs)]

    def _partition_policy(self):
        policy = self.job.get("partition_policy")
        if policy is None:
            return None
        return {"reschedule": policy["reschedule"], "delaySecs": policy["delay_secs"]}

    def _sla_policy(self):
        policy = self.job.get("sla_policy")
        if policy is None:
            return None
        if "percentage" in policy:
            inner = {"percentage": policy["percentage"], "durationSecs": policy["duration_secs"]}
            return {"percentageSlaPolicy": inner}
        if "count" in policy:
            inner = {"count": policy["count"], "durationSecs": policy["duration_secs"]}
            return {"countSlaPolicy": inner}
        inner = {"coordinatorUrl": policy["coordinator_url"], "statusKey": policy["status_key"]}
        return {"coordinatorSlaPolicy": inner}

    def _container(self):
        container = self.job.get("container")
        if container is None:
            return {"mesos": {"image": None, "volumes": []}}
        if "docker" in container:
            container = container["docker"]
        if isinstance(container.get("image"), str):
            parameters = [
                {"key": one["name"], "value": one["value"]} for one in container["parameters"]
            ]
            return {"docker": {"image": container["image"], "parameters": parameters}}
        image = container.get("image")
        if image is not None and "image_id" in image:
            image = {"appc": {"name": image["name"], "imageId": image["image_id"]}}
        elif image is not None:
            image = {"docker": {"name": image["name"], "tag": image["tag"]}}
        volumes = [
            {
                "containerPath": one["container_path"],
                "hostPath": one["host_path"],
                "mode": one["mode"],
            }
            for one in container.get("volumes", [])
        ]
        return {"mesos": {"image": image, "volumes": volumes}}

    def _executor_config(self):
        config = self.job["executor_config"]
        if config["name"] != AURORA_EXECUTOR_NAME:
            return {"name": config["name"], "data": config["data"]}
        inner = {
            name: value
            for name, value in self.job.items()
            if name not in ("instances", "update_config")
        }
        return {"name": AURORA_EXECUTOR_NAME, "data": json.dumps(inner, sort_keys=True)}

    def _update(self):
        try:
            return {"Ok": update_settings(self.job["update_config"])}
        except FieldError as error:
            where = self._place_of(".update_config" + "".join(error.path))
            line = "%s:%s: " % where if where[1] else ""
            field = "%s.update_config%s" % (self._root, error.field)
            return {"Err": "%s%s: %s" % (line, field, error.reason)}


def update_settings(config):
    """The settings of an update; FieldError if no update can follow them."""
    batch, watch = config["batch_size"], config["watch_secs"]
    pulse, strategy = config.get("pulse_interval_secs"), config.get("update_strategy")
    waits = config["wait_for_batch_completion"]
    if batch <= 0:
        raise FieldError("must be more than 0, is %s" % batch, (".batch_size",))
    if watch < 0:
        raise FieldError("must not be negative, is %s" % watch, (".watch_secs",))
    if pulse is not None and pulse < 60:
        raise FieldError("must be at least 60, is %s" % pulse, (".pulse_interval_secs",))
    if strategy is not None and waits:
        raise FieldError("cannot go with an update_strategy", (".wait_for_batch_completion",))
    if strategy is not None and batch > 1:
        raise FieldError("cannot go with an update_strategy, which has its own", (".batch_size",))
    group, waits, strategy = _strategy(batch, waits, strategy)
    settings = {
        "updateGroupSize": group,
        "maxPerInstanceFailures": config["max_per_shard_failures"],
        "maxFailedInstances": config["max_total_failures"],
        "minWaitInInstanceRunningMs": watch * 1000,
        "rollbackOnFailure": config["rollback_on_failure"],
        "waitForBatchCompletion": waits,
        "blockIfNoPulsesAfterMs": None if pulse is None else pulse * 1000,
        "slaAware": config["sla_aware"],
        "updateStrategy": strategy,
    }
    for name, value in settings.items():
        if isinstance(value, int) and abs(value) > _INT32:
            raise FieldError("%s is out of range: %s" % (name, value))
    return settings


def _strategy(batch, waits, strategy):
    """Group size, batch flag and strategy of the API."""
    if strategy is None and waits:
        return batch, True, {"batchStrategy": {"groupSize": batch, "autopauseAfterBatch": False}}
    if strategy is None:
        return batch, False, {"queueStrategy": {"groupSize": batch}}
    sizes = strategy.get("batch_sizes", [strategy.get("batch_size", 1)])
    if not sizes or min(sizes) <= 0 or max(sizes) > _INT32:
        raise FieldError("batch sizes must be more than 0, are %s" % sizes, (".update_strategy",))
    pauses = strategy.get("autopause_after_batch")
    if "batch_sizes" in strategy:
        inner = {"groupSizes": sizes, "autopauseAfterBatch": pauses}
        return 1, False, {"varBatchStrategy": inner}
    if pauses is None:
        return sizes[0], False, {"queueStrategy": {"groupSize": sizes[0]}}
    inner = {"groupSize": sizes[0], "autopauseAfterBatch": pauses}
    return sizes[0], True, {"batchStrategy": inner}


def _sorted(value):
    """The same data with the keys of all dictionaries in order."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(one) for one in value]
    return value

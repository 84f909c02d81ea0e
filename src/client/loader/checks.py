"""What the client refuses or warns of beyond types: rules about values that go together."""

_NEVER_NEGATIVE = {
    "update_config": ("watch_secs",),
    "health_check_config": (
        "max_consecutive_failures",
        "min_consecutive_successes",
        "initial_interval_secs",
        "interval_secs",
    ),
}


def check(converter):
    """Takes a converter after `convert`; raises LoadError, adds warnings."""
    job = converter.job
    _check_failures(converter, job, job["update_config"])
    for part, names in _NEVER_NEGATIVE.items():
        for name in names:
            value = job.get(part, {}).get(name, 0)
            if value < 0:
                field = ".%s.%s" % (part, name)
                raise converter.fail(field, "must not be negative, is %s" % value, "fatal")
    if job["production"] and "tier" not in job:
        converter.warnings.append(
            "%s: `production` is deprecated; set `tier` instead, for example tier = 'preferred'"
            % "/".join(job[name] for name in ("cluster", "role", "environment", "name"))
        )


def _check_failures(converter, job, update):
    allowed, instances = update["max_total_failures"], job["instances"]
    field = ".update_config.max_total_failures"
    if allowed >= instances:
        raise converter.fail(
            field,
            "must be less than the number of instances, %d, is %d" % (instances, allowed),
            "fatal",
        )
    least = int(instances * 0.02)
    if "dedicated" in job.get("constraints", {}) and allowed < least:
        raise converter.fail(
            field,
            "must be at least 2 %% of the instances (%d) on dedicated hosts, is %d"
            % (least, allowed),
            "fatal",
        )

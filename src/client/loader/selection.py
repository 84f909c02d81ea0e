"""From the file's `jobs` to the job that is wanted."""

from . import refs
from .errors import FieldError, LoadError
from .files import Runner, read_json
from .schema import Job
from .values import Empty, Environment, Run

PARTS = ("cluster", "role", "environment", "name")


def jobs_of(request):
    """All jobs of the file, bound, and its hooks."""
    file, source = request["file"], request.get("source")
    hooks = []
    if request.get("is_json"):
        jobs = _json_jobs(file, source)
    else:
        names = Runner().run(file, source)
        jobs = _python_jobs(names.get("jobs"), file)
        hooks = list(names.get("hooks") or [])
    bindings = _bindings(request.get("bindings") or [])
    return [_bound(job, bindings) for job in jobs], hooks


def _python_jobs(jobs, file):
    if jobs is None:
        raise LoadError("selection", "the file sets no `jobs`; it must end with jobs = [...]", file)
    if isinstance(jobs, Job):
        raise LoadError("selection", "`jobs` is a single Job; write jobs = [...]", file)
    try:
        jobs = list(jobs)
    except TypeError:
        raise LoadError("selection", "`jobs` is not a list of Jobs", file)
    if not jobs:
        raise LoadError("selection", "`jobs` is empty", file)
    checked = []
    for index, job in enumerate(jobs):
        try:
            checked.append(Job._coerce(job))
        except FieldError as error:
            raise LoadError("type", error.reason, file, None, "jobs[%d]%s" % (index, "".join(error.path)))
    return checked


def _json_jobs(file, source):
    data, listed = read_json(file, source)
    jobs = []
    for index, one in enumerate(data):
        try:
            jobs.append(Job._coerce(one))
        except FieldError as error:
            root = "jobs[%d]" % index if listed else "Job"
            raise LoadError("type", error.reason, file, None, root + "".join(error.path))
    if not jobs:
        raise LoadError("selection", "`jobs` is empty", file)
    return jobs


def _bindings(pairs):
    bound = []
    for name, value in pairs:
        try:
            bound.append(Environment({str(name): str(value)}))
        except ValueError as error:
            raise LoadError("type", "--bind %s=%s: %s" % (name, value, error))
    return bound


def _bound(job, bindings):
    return job.bind(*bindings).in_scope(
        {"mesos.role": "{{role}}", "mesos.cluster": "{{cluster}}", "thermos.user": "{{role}}"}
    )


def part(job, name):
    """A part of the key of a job as text, or None if it is not set."""
    value = job._values[name]
    if value is Empty:
        return None
    return value._render(Run(), refs.NOTHING.within(job)).get()


def key_of(job):
    return {name: part(job, name) for name in PARTS}


def listed_key(job):
    """The key for a listing: all parts are text."""
    return {name: "{MISSING}" if one is None else str(one) for name, one in key_of(job).items()}


def shown(key):
    return "/".join("{MISSING}" if key[name] is None else str(key[name]) for name in PARTS)


def check_basics(job, file):
    """What a job needs before anything else can be said of it."""
    for name in ("cluster", "role", "task"):
        if job._values[name] is Empty:
            raise placed(job, file, "Job.%s" % name, "is required and not set")
    if job._values["task"]._values["processes"] is Empty:
        raise placed(job._values["task"], file, "Job.task.processes", "is required and not set")


def placed(struct, file, field, message, kind="type"):
    """An error about a struct as a whole, with the line that made it."""
    where = struct._place or (file, None)
    return LoadError(kind, message, where[0], where[1], field)


def chosen(jobs, select, file):
    """The one job with the key `select`; all jobs if there is none."""
    if select is None:
        return jobs
    wanted = {name: select[name] for name in PARTS}
    keys = [key_of(job) for job in jobs]
    found = [job for job, key in zip(jobs, keys) if key == wanted]
    if len(found) == 1:
        return found
    if found:
        places = ", ".join("line %s" % job._place[1] for job in found if job._place)
        raise LoadError(
            "selection",
            "%s is there %d times%s" % (shown(wanted), len(found), ": " + places if places else ""),
            file,
        )
    listing = "".join("\n  " + shown(key) for key in keys)
    raise LoadError("selection", "no job %s; the file has:%s" % (shown(wanted), listing), file)

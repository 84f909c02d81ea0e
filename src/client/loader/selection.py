"""From the file's `jobs` to the job that is wanted."""

from . import refs
from .errors import FieldError, LoadError
from .files import Runner, parse_json
from .schema import Job
from .values import Empty, Environment, Run

PARTS = ("cluster", "role", "environment", "name")


def python_jobs(request):
    """The jobs of a job file in Python, bound, and its hooks."""
    file = request["file"]
    names = Runner().run(file, request.get("source"))
    jobs = [_job(one, file, "jobs[%d]" % at) for at, one in enumerate(_listed(names, file))]
    return _bound(jobs, request), list(names.get("hooks") or [])


def json_jobs(request, text):
    """The jobs of a JSON job file, bound; in errors each has its place in the list."""
    file = request["file"]
    data, listed = parse_json(text, file)
    if not data:
        raise LoadError("selection", "`jobs` is empty", file)
    jobs = []
    for index, one in enumerate(data):
        root = "jobs[%d]" % index if listed else "Job"
        jobs.append(_job(one, file, root))
        jobs[-1]._root = root
    return _bound(jobs, request)


def _job(value, file, root):
    try:
        return Job._coerce(value)
    except FieldError as error:
        raise LoadError("type", error.reason, file, None, root + "".join(error.path))


def _listed(names, file):
    """The value of `jobs` as a list."""
    jobs = names.get("jobs")
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
    return jobs


def _bound(jobs, request):
    bindings = _bindings(request.get("bindings") or [])
    standard = {
        "mesos.role": "{{role}}",
        "mesos.cluster": "{{cluster}}",
        "thermos.user": "{{role}}",
    }
    return [job.bind(*bindings).in_scope(standard) for job in jobs]


def _bindings(pairs):
    bound = []
    for name, value in pairs:
        try:
            bound.append(Environment({str(name): str(value)}))
        except ValueError as error:
            raise LoadError("type", "--bind %s=%s: %s" % (name, value, error))
    return bound


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
            raise placed(job, file, "%s.%s" % (job._root, name), "is required and not set")
    task = job._values["task"]
    processes = task._values["processes"]
    if processes is Empty:
        raise placed(task, file, job._root + ".task.processes", "is required and not set")
    if not len(processes):
        raise placed(task, file, job._root + ".task.processes", "a task needs at least one process")


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

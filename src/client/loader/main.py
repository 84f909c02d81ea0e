"""The loader of job files: `.aurora` files, which are Python, and JSON job files.

The client starts `python3 -I -c <boot.py>` and talks to it in lines of JSON, a request and an
answer each, until it closes the pipe. Nothing but answers is written to the pipe: whatever the
user's file prints goes to standard error. (The client loads JSON job files without Python, by the
same rules; its tests hold both ways against each other.)

Request:

    {"version": 1,
     "want": "jobs" | "list",        jobs: everything below; list: only the keys
     "file": PATH,                   the job file, named in errors as given
     "source": TEXT | null,          its text, if it is no file; then include() does not work
     "is_json": BOOL,                a JSON job file
     "bindings": [[NAME, VALUE], ...],
     "select": KEY | null,           null: all jobs
     "user": TEXT}                   becomes owner

KEY is {"cluster": TEXT, "role": TEXT, "environment": TEXT, "name": TEXT}. Answer:

    {"version": 1,
     "jobs": [{"key": KEY,
               "job": {...},         the job with all defaults, keys sorted
               "config": {"owner", "cronSchedule", "cronCollisionPolicy", "instanceCount",
                          "taskConfig": {"isService", "priority", "maxTaskFailures",
                                         "production", "tier", "contactEmail", "resources",
                                         "constraints", "metadata", "partitionPolicy",
                                         "slaPolicy", "container",
                                         "executorConfig": {"name", "data"}}},
               "update": {"Ok": {...}} | {"Err": TEXT},         settings of an update
               "enable_hooks": BOOL}, ...],
     "hooks": N,                     objects in the file's `hooks`
     "warnings": [TEXT, ...]}

For "list" a job has only its key, where "{MISSING}" stands for a part that is not set. Or:

    {"version": 1,
     "error": {"kind": KIND,         see FileErrorKind in jobfile/mod.rs
               "message": TEXT,
               "file": PATH | null,
               "line": N | null,
               "field": "Job.task.resources.cpu" | null,
               "included_from": ["FILE:LINE", ...]}}            the innermost include first

Names inside "config" and "update" are the API's. A union is an object with one key.
`executorConfig.data` is the job as JSON with sorted keys, without `instances` and `update_config`,
so that it changes only when the task does.
"""

import json
import os
import sys

from . import checks, files, jsonplace, place, selection
from .convert import Converter
from .errors import LoadError

VERSION = 1
STACK = 5000


def answer_to(request):
    """The answer to one request, as plain data."""
    try:
        if not isinstance(request, dict) or request.get("version") != VERSION:
            raise LoadError("exception", "the loader speaks version %d of its protocol" % VERSION)
        return _load(request)
    except LoadError as error:
        return {"version": VERSION, "error": error.to_json()}
    except RecursionError:
        error = LoadError("exception", "values are nested too deep", request.get("file"))
        return {"version": VERSION, "error": error.to_json()}
    except Exception as error:
        # Values of the user's own classes may raise anything long after their file has run.
        located = files.located(error)
        located.file = located.file or request.get("file")
        return {"version": VERSION, "error": located.to_json()}


def _load(request):
    sys.setrecursionlimit(max(sys.getrecursionlimit(), STACK))
    place.forget_all()
    if not request.get("is_json"):
        return _answer(request, *selection.python_jobs(request))
    text = files.read_json(request["file"], request.get("source"))
    try:
        return _answer(request, selection.json_jobs(request, text), [])
    except LoadError as error:
        if error.field is not None and error.line is None:
            error.line = jsonplace.line_of(text, error.field)
        raise


def _answer(request, jobs, hooks):
    file = request["file"]
    for job in jobs:
        selection.check_basics(job, file)
    answer = {"version": VERSION, "jobs": [], "hooks": len(hooks), "warnings": []}
    if request.get("want", "jobs") == "list":
        answer["jobs"] = [{"key": selection.listed_key(job)} for job in jobs]
        return answer
    for job in selection.chosen(jobs, request.get("select"), file):
        converter = Converter(job, file, request["user"], job._root)
        answer["jobs"].append(converter.convert())
        checks.check(converter)
        answer["warnings"].extend(converter.warnings)
    return answer


def serve():
    """Answers requests from standard input until it ends."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    try:
        for line in requests:
            answer = answer_to(json.loads(line))
            sys.stdout.flush()
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
    except KeyboardInterrupt:
        sys.exit(130)

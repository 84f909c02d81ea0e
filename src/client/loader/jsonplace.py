"""Lines of fields in a JSON job file."""

import json
import re
from json.decoder import scanstring

_SPACE = re.compile(r"[ \t\r\n]*")
_STEP = re.compile(r"\.(\w+)|\[([^\]]*)\]")
_DECODER = json.JSONDecoder()


def line_of(text, field):
    """The line of a field such as `jobs[0].task.name`, or of the innermost value around it."""
    steps = [name or index for name, index in _STEP.findall(field)]
    if field.startswith("jobs"):
        steps.insert(0, "jobs")
    at = _skip(text, 0)
    for step in steps:
        inner = _member(text, at, step)
        if inner is None:
            break
        at = inner
    return text.count("\n", 0, at) + 1


def _skip(text, at):
    return _SPACE.match(text, at).end()


def _member(text, at, step):
    """Where the member `step` of the object or array at `at` starts, or None."""
    opening = text[at]
    if opening not in "{[":
        return None
    at = _skip(text, at + 1)
    index = 0
    while text[at] not in "}]":
        key = str(index)
        if opening == "{":
            key, at = scanstring(text, at + 1)
            at = _skip(text, _skip(text, at) + 1)
        if key == step:
            return at
        _, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
        index += 1
    return None

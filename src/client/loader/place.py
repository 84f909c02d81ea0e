"""Places in the user's files: which line is being run, and which line names an attribute."""

import ast
import sys

_files = {}
"""Source of each file that was run, by the name it was compiled under."""


def remember(file, source):
    """From now on frames of `file` are the user's."""
    _files[file] = (source, None)


def forget_all():
    _files.clear()


def is_users(file):
    return file in _files


def of_caller():
    """(file, line) of the innermost frame of the user's, or None."""
    if not _files:
        return None
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename in _files:
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None


def narrowed(where, attribute):
    """The line inside the call at `where` that gives `attribute`, if just one does; else `where`.

    A call may span many lines, of which the running frame knows only one.
    """
    if where is None or not attribute:
        return where
    file, line = where
    lines = set()
    for first, last, names in _calls(file):
        if first <= line <= last and attribute in names:
            lines.add(names[attribute])
    return (file, lines.pop()) if len(lines) == 1 else where


def _calls(file):
    """First line, last line and line by keyword of every call in a file."""
    source, calls = _files.get(file, ("", ()))
    if calls is None:
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            tree = ast.Module(body=[])
        calls = [_extent(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        _files[file] = (source, calls)
    return calls


def _extent(call):
    last = max(getattr(node, "lineno", call.lineno) for node in ast.walk(call))
    names = {word.arg: word.value.lineno for word in call.keywords if word.arg}
    return call.lineno, last, names


def of_field(value, steps):
    """The line that gave the field `steps` (".name" and "[key]" parts) of a value, or None."""
    found = None
    for step in steps:
        if value._is_struct:
            name = step[1:]
            found = narrowed(value._places.get(name), name) or value._place or found
        value = value._part(step)
        if value is None:
            return found
    if value._is_struct and value._place:
        found = found or value._place
    return found

"""Runs job files: their namespace, include(), and the place of what goes wrong in them."""

import errno
import functools
import json
import os
import re
import sys
import types

from . import containers, helpers, place, refs, schema, structs, values
from .errors import FieldError, LoadError

_PYTHON_2 = re.compile(
    r"^\s*(print\s+[^\s(=]|exec\s+[^\s(=]|raise\s+\w+\s*,|except\s+[\w.]+\s*,|.*<>|.*`|.*\b0\d)"
)


class MustacheParser(object):
    """Text with references, for files that resolve it themselves."""

    @staticmethod
    def resolve(text, *scopes):
        value, left = values.String(text).bind(*reversed(scopes)).interpolate()
        return value.get(), left


def _type_names():
    return {
        "Boolean": values.Boolean,
        "Choice": containers.Choice,
        "Default": structs.Default,
        "Empty": values.Empty,
        "Enum": values.Enum,
        "Environment": values.Environment,
        "Float": values.Float,
        "Integer": values.Integer,
        "List": containers.List,
        "Map": containers.Map,
        "MustacheParser": MustacheParser,
        "Namable": values.Object,
        "Ref": refs.Ref,
        "Required": structs.Required,
        "String": values.String,
        "Struct": structs.Struct,
        "Type": values.Object,
        "TypeCheck": values.TypeCheck,
        "TypeFactory": structs.StructMeta,
    }


def _python_2_names():
    """Builtins of Python 2 that job files use and that have a plain successor."""
    return {
        "basestring": str,
        "long": int,
        "raw_input": input,
        "reduce": functools.reduce,
        "unichr": chr,
        "unicode": str,
        "xrange": range,
    }


def namespace():
    """The globals a job file starts with."""
    names = {"__name__": "__aurora__"}
    names.update(_python_2_names())
    names.update(_type_names())
    names.update(schema.names())
    names.update(helpers.names())
    return names


def _offer_modules():
    """Lets files import by their old names the modules whose names they have anyway."""
    whole = namespace()
    offered = {
        "pystachio": _type_names(),
        "apache.aurora.config.schema.base": whole,
        "apache.thermos.config.schema": whole,
        "apache.thermos.config.schema_base": whole,
        "apache.thermos.config.schema_helpers": whole,
        "twitter.common.log": {
            level: (lambda name: lambda *args: _log(name, *args))(level)
            for level in ("debug", "info", "warn", "warning", "error", "fatal")
        },
    }
    for name, members in offered.items():
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            full = ".".join(parts[:length])
            if full not in sys.modules:
                module = types.ModuleType(full)
                module.__path__ = []
                sys.modules[full] = module
            if length > 1:
                setattr(
                    sys.modules[".".join(parts[: length - 1])], parts[length - 1], sys.modules[full]
                )
        vars(sys.modules[name]).update(
            {key: value for key, value in members.items() if not key.startswith("__")}
        )


def _log(level, message, *args):
    sys.stderr.write("%s] %s\n" % (level.upper()[:5].rjust(5), message % args if args else message))


class Runner(object):
    """Runs one job file and what it includes, all in one namespace."""

    def __init__(self):
        self.names = namespace()
        self.names["include"] = self.include
        self._stack = []

    def run(self, file, source=None):
        """Runs `file`, or `source` under its name; raises LoadError."""
        _offer_modules()
        try:
            self._execute(file, source)
        except LoadError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise located(error)
        return self.names

    def include(self, path):
        """Runs another file in the same namespace; the path starts at the including file."""
        if self._stack and self._stack[-1] is None:
            raise ValueError("include() needs a file to start from, and this text has none")
        base = os.path.dirname(self._stack[-1])
        target = os.path.join(base, str(path))
        if target in self._stack:
            raise ValueError("%s includes itself" % target)
        self._execute(target, None)

    def _execute(self, file, source):
        included = bool(self._stack)
        if source is None:
            source = _read(file, included)
            directory = file
        else:
            directory = None
        place.remember(file, source)
        code = _compiled(source, file)
        self._stack.append(directory)
        outer = self.names.get("__file__")
        self.names["__file__"] = file
        try:
            exec(code, self.names)
        finally:
            self._stack.pop()
            self.names["__file__"] = outer


class Unreadable(ValueError):
    """A file that cannot be read."""


def _read(file, included):
    try:
        with open(file, "rb") as stream:
            return stream.read()
    except (IOError, OSError) as error:
        if error.errno == errno.ENOENT:
            reason = "there is no such file"
        else:
            reason = "cannot be read: %s" % (error.strerror or error)
        if included:
            raise Unreadable("include(%r): %s: %s" % (os.path.basename(file), file, reason))
        raise LoadError("not_found", reason, file)


def _compiled(source, file):
    try:
        return compile(source, file, "exec", dont_inherit=True)
    except SyntaxError:
        raise
    except ValueError as error:
        # Python 3.6 says so of a NUL.
        raise SyntaxError(str(error), (file, None, None, None))


def _users_lines(trace):
    """(file, line) of the frames of the user's, outermost first."""
    lines = []
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if place.is_users(file):
            lines.append((file, trace.tb_lineno))
        trace = trace.tb_next
    return lines


def located(error):
    """A LoadError for an exception that a file raised."""
    lines = _users_lines(error.__traceback__)
    field = None
    if isinstance(error, SyntaxError):
        kind, message = "syntax", _syntax_message(error)
        if error.filename is not None and place.is_users(error.filename):
            lines.append((error.filename, error.lineno))
    elif isinstance(error, FieldError):
        kind, message, field = "type", error.reason, error.field or None
    elif isinstance(error, Unreadable):
        kind, message = "not_found", str(error)
    elif isinstance(error, SystemExit):
        kind, message = "exception", "the file ended the program: SystemExit(%s)" % error.code
    else:
        kind, message = "exception", "%s: %s" % (type(error).__name__, error)
        message += _python_2_hint(error)
    innermost = lines[-1] if lines else (None, None)
    if isinstance(error, FieldError) and error.path:
        innermost = place.narrowed(innermost, error.path[0].lstrip(".")) if lines else innermost
    return LoadError(kind, message, innermost[0], innermost[1], field, _includes(lines))


def _includes(lines):
    """Where each file on the way to the innermost was included, innermost first."""
    chain = []
    for index in range(len(lines) - 1, 0, -1):
        if lines[index][0] != lines[index - 1][0]:
            chain.append("%s:%s" % lines[index - 1])
    return chain


def _syntax_message(error):
    message = "SyntaxError: %s" % error.msg
    text = (error.text or "").rstrip("\n")
    if _PYTHON_2.match(text) or "Missing parentheses" in error.msg:
        message += " (job files are run by Python 3; this looks like Python 2)"
    if text.strip():
        message += "\n    %s" % text.strip()
    return message


def _python_2_hint(error):
    text = str(error)
    for old, new in (("iteritems", "items"), ("itervalues", "values"), ("has_key", "in")):
        if isinstance(error, AttributeError) and old in text:
            return " (job files are run by Python 3: use %s)" % new
    return ""


def read_json(file, source=None):
    """The text of a JSON job file."""
    text = _read(file, False) if source is None else source
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LoadError("syntax", "is not UTF-8: %s" % error.reason, file)


def parse_json(text, file):
    """The jobs of a JSON job file as dictionaries, and whether they stand in a list."""
    try:
        data = json.loads(text)
    except RecursionError:
        raise LoadError("syntax", "is nested too deep", file)
    except ValueError as error:
        line = getattr(error, "lineno", None)
        raise LoadError("syntax", "is not JSON: %s" % getattr(error, "msg", error), file, line)
    if not isinstance(data, dict):
        raise LoadError("type", 'expected a job, or an object with the key "jobs"', file)
    if "jobs" not in data:
        return [data], False
    extra = sorted(set(data) - {"jobs"})
    if extra:
        raise LoadError("type", 'unknown key %r beside "jobs"' % extra[0], file)
    if not isinstance(data["jobs"], list):
        raise LoadError("type", "expected a list", file, None, "jobs")
    return data["jobs"], True

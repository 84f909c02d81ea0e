"""Errors of job files, and how they find their place in a file."""


class LoadError(Exception):
    """What ends a load: becomes the "error" of the answer."""

    def __init__(self, kind, message, file=None, line=None, field=None, included_from=()):
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.file = file
        self.line = line
        self.field = field
        self.included_from = list(included_from)

    def to_json(self):
        return {
            "kind": self.kind,
            "message": self.message,
            "file": self.file,
            "line": self.line,
            "field": self.field,
            "included_from": self.included_from,
        }


class FieldError(ValueError):
    """A value that a field cannot take, raised where the value is given.

    `path` leads from the value that was being built to the field: (".resources", ".cpu").
    """

    def __init__(self, reason, path=(), root=""):
        super().__init__(reason)
        self.reason = reason
        self.path = tuple(path)
        self.root = root

    @property
    def field(self):
        return self.root + "".join(self.path)

    def __str__(self):
        return "%s: %s" % (self.field, self.reason) if self.field else self.reason

    def inside(self, step, root=""):
        """The same error seen from the value that holds this one at `step`."""
        outer = type(self)(self.reason, (step,) + self.path, root)
        return outer


class UnknownAttribute(FieldError, AttributeError):
    """An attribute that the schema does not have."""


class InvalidReference(ValueError):
    """Text between double braces that is no reference."""


class EndlessReplacement(ValueError):
    """References that lead back to themselves."""

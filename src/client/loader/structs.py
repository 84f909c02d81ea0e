"""Struct: values with named attributes. Users declare their own the way the schema does."""

import difflib

from . import place, refs
from .errors import FieldError, UnknownAttribute
from .values import Empty, Object, described


class Field(object):
    """Declaration of an attribute."""

    __slots__ = ("type", "required", "default")

    def __init__(self, kind, required=False, default=Empty):
        if not (isinstance(kind, type) and issubclass(kind, Object)):
            raise ValueError("%s is not a type of the schema" % described(kind))
        self.type = kind
        self.required = required
        self.default = default if default is Empty else kind._coerce(default)


def Required(kind):
    """An attribute that has to be given."""
    return Field(kind, required=True)


def Default(kind, value):
    """An attribute with a default."""
    return Field(kind, default=value)


class StructMeta(type):
    """Collects the attributes a class declares, after those of its bases."""

    def __new__(mcs, name, bases, namespace):
        fields = {}
        for base in reversed(bases):
            fields.update(getattr(base, "_fields", {}))
        kept = {}
        for key, value in namespace.items():
            if isinstance(value, type) and issubclass(value, Object) and not key.startswith("__"):
                value = Field(value)
            if isinstance(value, Field):
                fields[key] = value
            else:
                kept[key] = value
        kept["_fields"] = fields
        return super().__new__(mcs, name, bases, kept)


class Struct(Object, metaclass=StructMeta):
    """A value with named attributes."""

    _is_struct = True

    def __init__(self, *args, **kw):
        self._values = {name: field.default for name, field in type(self)._fields.items()}
        self._places = {}
        self._place = place.of_caller()
        self._set(args, kw)

    def _set(self, args, kw):
        for arg in args:
            if isinstance(arg, Struct):
                arg = {name: value for name, value in arg._values.items() if value is not Empty}
            if not isinstance(arg, dict):
                raise FieldError(
                    "expected a dictionary, got %s" % described(arg), (), type(self).__name__
                )
            self._set_all(arg)
        self._set_all(kw)

    def _set_all(self, given):
        cls = type(self)
        for name, value in given.items():
            field = cls._fields.get(name)
            if field is None:
                raise UnknownAttribute(cls._unknown(name), (".%s" % name,), cls.__name__)
            if value is not Empty:
                try:
                    value = field.type._coerce(value)
                except FieldError as error:
                    raise error.inside("." + name, cls.__name__)
            self._values[name] = value
            self._places[name] = self._place

    @classmethod
    def _unknown(cls, name):
        close = difflib.get_close_matches(str(name), list(cls._fields), 1)
        hint = " (did you mean %r?)" % close[0] if close else ""
        return "%s has no attribute %r%s" % (cls.__name__, name, hint)

    @classmethod
    def _coerce(cls, value):
        if cls._is_type_of(value):
            return value
        if isinstance(value, dict):
            return cls(value)
        if isinstance(value, Object):
            got = "a " + type(value).__name__
        elif isinstance(value, type):
            got = "the type %s; call it to make one" % value.__name__
        else:
            got = described(value)
        raise FieldError("expected a %s, got %s" % (cls.__name__, got))

    @classmethod
    def _is_type_of(cls, value):
        """Types with one name and the same attributes are the same: a file may be run twice."""
        if isinstance(value, cls):
            return True
        other = type(value)
        if not isinstance(value, Struct) or other.__name__ != cls.__name__:
            return False
        return list(other._fields) == list(cls._fields) and all(
            other._fields[name].type.__name__ == field.type.__name__
            for name, field in cls._fields.items()
        )

    @classmethod
    def _known_part(cls, data):
        if not isinstance(data, dict):
            return data
        return {
            key: cls._fields[key].type._known_part(value)
            for key, value in data.items()
            if key in cls._fields
        }

    def __call__(self, *args, **kw):
        twin = self._clone()
        twin._values = dict(self._values)
        twin._places = dict(self._places)
        twin._place = place.of_caller()
        twin._set(args, kw)
        return twin

    def __getattr__(self, name):
        fields = type(self)._fields
        if name in fields:
            return lambda: self._attribute(name)
        if name.startswith("has_") and name[4:] in fields:
            return lambda: self._values[name[4:]] is not Empty
        raise AttributeError("%s has no attribute %r" % (type(self).__name__, name))

    def _attribute(self, name):
        from .values import Run

        value = self._values[name]
        if value is Empty:
            return Empty
        return value._render(Run(), refs.NOTHING.within(self))

    def _missing(self):
        """The first required attribute that is not set, or None."""
        for name, field in type(self)._fields.items():
            if field.required and self._values[name] is Empty:
                return name
        return None

    def _render(self, run, chain):
        inner = chain.within(self)
        twin = self._clone()
        twin._values = {}
        outside = run.at
        for name, field in type(self)._fields.items():
            value = self._values[name]
            run.path.append("." + name)
            if value is not Empty:
                run.at = self._given_at(name) or outside
                value = value._render(run, inner)
            elif field.required:
                run.at = (self._place, None) if self._place else outside
                run.problem("is required and not set")
            run.path.pop()
            twin._values[name] = value
        run.at = outside
        return twin

    def _given_at(self, name):
        where = self._places.get(name)
        if where:
            return where, name
        return (self._place, None) if self._place else None

    def _step(self, kind, name, chain, run):
        value = self._values.get(name, Empty) if kind == "." else Empty
        return None if value is Empty else value

    def _part(self, step):
        value = self._values.get(step[1:], Empty)
        return None if value is Empty else value

    def get(self):
        return {name: value.get() for name, value in self._values.items() if value is not Empty}

    def _plain(self):
        return {name: value._plain() for name, value in self._values.items() if value is not Empty}

    def __eq__(self, other):
        if not isinstance(other, Struct) or not type(self)._is_type_of(other):
            return False
        return self._rendered()._plain() == other._rendered()._plain()

    def __hash__(self):
        return hash(self.json_dumps(sort_keys=True))

    def __repr__(self):
        return "%s(%s)" % (
            type(self).__name__,
            ", ".join("%s=%r" % item for item in self._values.items() if item[1] is not Empty),
        )

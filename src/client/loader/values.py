"""The base of all values, and the simple ones: String, Integer, Float, Boolean, Enum.

Values never change; every operation returns a copy. Building one is lazy: text may hold references,
and only rendering (`interpolate`, `check`, an attribute call) resolves them and converts.
"""

import json

from . import place, refs
from .errors import EndlessReplacement, FieldError, InvalidReference


class _EmptyType(object):
    """The value of an attribute that is not set."""

    _instance = None

    def __new__(cls):
        if cls._instance is None:
            cls._instance = object.__new__(cls)
        return cls._instance

    def __bool__(self):
        return False

    def __repr__(self):
        return "Empty"

    def __call__(self):
        return self


Empty = _EmptyType()


class Run(object):
    """One rendering: where it is, and what it found wrong or left open.

    `at` is the place that gave the value being rendered, with the name of its attribute.
    """

    def __init__(self):
        self.path = []
        self.at = None
        self.problems = []
        self.unbound = []
        self._depth = 0

    def field(self):
        return "".join(self.path)

    def problem(self, message, kind="type"):
        self.problems.append(Finding(kind, message, self.field(), self.at))

    def open(self, ref):
        self.unbound.append(Finding("unbound", ref, self.field(), self.at))

    def text_of(self, ref, value, chain):
        """The text that stands for a reference which leads to `value`."""
        if not value._is_simple:
            raise EndlessReplacement("%s is a whole %s, not text" % (ref, type(value).__name__))
        if self._depth >= refs.MAX_PASSES:
            raise EndlessReplacement("%s leads back to itself" % ref)
        raw = value._raw
        if not isinstance(raw, str) or "{{" not in raw:
            return value._as_text(raw)
        self._depth += 1
        try:
            text, left = refs.resolve(raw, chain.within(value), self)
        finally:
            self._depth -= 1
        return text if left else value._as_text(text)


class Finding(object):
    """A problem, or a reference without a value, with its place."""

    __slots__ = ("kind", "what", "field", "_at")

    def __init__(self, kind, what, field, at):
        self.kind = kind
        self.what = what
        self.field = field
        self._at = at

    @property
    def place(self):
        """(file, line), or None; found out only when somebody asks, for it takes a while."""
        return place.narrowed(*self._at) if self._at else None


class TypeCheck(object):
    """What `check` answers."""

    def __init__(self, message=None):
        self._message = message

    @classmethod
    def success(cls):
        return cls()

    @classmethod
    def failure(cls, message):
        return cls(message)

    def ok(self):
        return self._message is None

    def message(self):
        return self._message or "Ok"

    def __bool__(self):
        return self.ok()

    def __repr__(self):
        return "TypeCheck(%s)" % (self.message())


class Object(object):
    """Any value of the schema."""

    _scopes = ()
    _is_struct = False
    _is_simple = False

    def _clone(self):
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def bind(self, *args, **kw):
        """A copy that sees the given names before all names bound earlier."""
        given = list(args) + ([kw] if kw else [])
        twin = self._clone()
        for one in given:
            twin._scopes = (scope_of(one),) + twin._scopes
        return twin

    def in_scope(self, *args, **kw):
        """A copy that sees the given names after all others."""
        given = list(args) + ([kw] if kw else [])
        twin = self._clone()
        twin._scopes = twin._scopes + tuple(scope_of(one) for one in given)
        return twin

    def interpolate(self):
        """The value with everything resolved that can be, and the references left over."""
        run = Run()
        rendered = self._render(run, refs.NOTHING)
        return rendered, [finding.what for finding in run.unbound]

    def check(self):
        """Whether all types fit and all that is required is there."""
        run = Run()
        run.path.append(type(self).__name__)
        self._render(run, refs.NOTHING)
        if not run.problems:
            return TypeCheck.success()
        first = run.problems[0]
        return TypeCheck.failure("%s: %s" % (first.field, first.what))

    def copy(self):
        return self._clone()

    def scopes(self):
        return self._scopes

    def __mod__(self, names):
        return self.bind(names).interpolate()[0]

    def __ne__(self, other):
        return not self == other

    def _rendered(self):
        return self._render(Run(), refs.NOTHING)

    def json_dumps(self, **options):
        """JSON of the rendered value."""
        return json.dumps(self._rendered()._plain(), **options)

    def json_dump(self, stream, **options):
        json.dump(self._rendered()._plain(), stream, **options)

    @classmethod
    def json_loads(cls, text, strict=False):
        """Builds a value from JSON; unless strict, unknown keys of structs are dropped."""
        return cls._from_json(json.loads(text), strict)

    @classmethod
    def json_load(cls, stream, strict=False):
        return cls._from_json(json.load(stream), strict)

    @classmethod
    def _from_json(cls, data, strict):
        return cls._coerce(data if strict else cls._known_part(data))

    @classmethod
    def _known_part(cls, data):
        return data

    # What a type defines: `_coerce(value)` builds an instance or raises FieldError;
    # `_render(run, chain)` is the value with its references resolved; `_plain()` is a rendered value as
    # plain Python, for JSON; `_step(kind, name, chain, run)` is the part a reference component leads to.

    def _step(self, kind, name, chain, run):
        return None

    def _part(self, step):
        """The part at one step (".name" or "[key]") of a path of the schema, or None."""
        return None


def scope_of(value):
    """A scope from what users pass to `bind`."""
    if isinstance(value, (Environment, refs.StructScope)):
        return value
    if isinstance(value, Object) and value._is_struct:
        return refs.StructScope(value, refs.NOTHING)
    if isinstance(value, dict):
        return Environment(value)
    raise ValueError(
        "cannot bind a %s: give names with values, a dictionary, an Environment or a Struct"
        % type(value).__name__
    )


class Environment(object):
    """Names with values. Keys are addresses; dictionaries inside become dotted names."""

    def __init__(self, *dicts, **kw):
        self._table = {}
        for one in dicts + ((kw,) if kw else ()):
            if isinstance(one, Environment):
                self._table.update(one._table)
            elif isinstance(one, dict):
                self._add((), one)
            else:
                raise ValueError(
                    "an Environment is made of dictionaries, not of a %s" % type(one).__name__
                )

    def _add(self, prefix, table):
        for key, value in table.items():
            components = prefix + refs.Ref.from_address(str(key)).components
            if isinstance(value, dict):
                self._add(components, value)
            elif isinstance(value, Environment):
                for inner, leaf in value._table.items():
                    self._table[components + inner] = leaf
            elif isinstance(value, Object):
                self._table[components] = value
            elif isinstance(value, (str, int, float)):
                self._table[components] = String(str(value))
            elif isinstance(value, bytes):
                self._table[components] = String(value.decode("utf-8"))
            else:
                raise ValueError(
                    "cannot bind {{%s}} to a %s: only text, numbers, dictionaries and values of the "
                    "schema can be bound" % (refs.Ref(components).address, type(value).__name__)
                )

    def merge(self, *others):
        return Environment(self, *others)

    def find(self, components, run):
        for length in range(len(components), 0, -1):
            value = self._table.get(components[:length])
            if value is not None:
                found = refs.descend(value, refs.NOTHING, components[length:], run)
                if found is not None:
                    return found
        return None

    def __repr__(self):
        names = sorted(refs.Ref(components).address for components in self._table)
        return "Environment(%s)" % ", ".join(names)


def described(value):
    """A value of the user's for a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Simple(Object):
    """One piece of text or one number."""

    _is_simple = True
    _wanted = "text"

    def __init__(self, value=""):
        if isinstance(value, Simple):
            self._scopes = value._scopes
            value = value._raw
        if isinstance(value, bytes):
            value = value.decode("utf-8")
        if not isinstance(value, (str, int, float)):
            raise FieldError("expected %s, got %s" % (self._wanted, _kind_of(value)))
        self._raw = value
        self._validate()

    def _validate(self):
        """Refuses at once what can never become right."""

    @classmethod
    def _coerce(cls, value):
        return value if type(value) is cls else cls(value)

    @classmethod
    def _convert(cls, raw):
        raise NotImplementedError

    def _render(self, run, chain):
        raw = self._raw
        twin = self._clone()
        if isinstance(raw, str) and "{{" in raw:
            try:
                text, left = refs.resolve(raw, chain.within(self), run)
            except (InvalidReference, EndlessReplacement) as error:
                run.problem(str(error))
                return twin
            for ref in left:
                run.open(ref)
            raw = twin._raw = refs.unescape(text)
            if left and type(self) is not String:
                run.problem("%s has no value" % left[0], "unbound")
                return twin
        try:
            twin._raw = self._convert(raw)
        except (ValueError, OverflowError):
            run.problem("expected %s, got %s" % (self._wanted, described(raw)))
        return twin

    @classmethod
    def _as_text(cls, raw):
        """What a reference to this value puts into a text."""
        try:
            return str(cls._convert(raw))
        except (ValueError, OverflowError):
            return str(raw)

    def get(self):
        return self._raw

    def _plain(self):
        return self._raw

    def _comparable(self):
        try:
            return self._convert(self._rendered()._raw)
        except (ValueError, OverflowError):
            return self._raw

    def __eq__(self, other):
        if isinstance(other, Simple):
            return self._comparable() == other._comparable()
        if isinstance(other, (str, int, float)):
            return self._comparable() == other
        return False

    def __lt__(self, other):
        return self._comparable() < (other._comparable() if isinstance(other, Simple) else other)

    def __gt__(self, other):
        return self._comparable() > (other._comparable() if isinstance(other, Simple) else other)

    def __le__(self, other):
        return not self > other

    def __ge__(self, other):
        return not self < other

    def __hash__(self):
        return hash(self._comparable())

    def __str__(self):
        return str(self._raw)

    def __int__(self):
        return int(self._raw)

    def __float__(self):
        return float(self._raw)

    def __repr__(self):
        return "%s(%s)" % (type(self).__name__, self._raw)


def _kind_of(value):
    if value is None:
        return "None (leave the attribute out, or give Empty)"
    if isinstance(value, type) and issubclass(value, Object):
        return "the type %s" % value.__name__
    if isinstance(value, Object):
        return "a %s" % type(value).__name__
    return "a %s" % type(value).__name__


class String(Simple):
    """Text; numbers become text."""

    @classmethod
    def _convert(cls, raw):
        return str(raw)


class Integer(Simple):
    """A whole number; fractions are cut off."""

    _wanted = "a whole number"

    @classmethod
    def _convert(cls, raw):
        return int(raw)

    def __index__(self):
        return int(self._raw)


class Float(Simple):
    """A number."""

    _wanted = "a number"

    @classmethod
    def _convert(cls, raw):
        return float(raw)


class Boolean(Simple):
    """True or False."""

    _wanted = "True or False"

    @classmethod
    def _convert(cls, raw):
        if not isinstance(raw, str):
            return bool(raw)
        lowered = raw.lower()
        if lowered in ("true", "1"):
            return True
        if lowered in ("false", "0"):
            return False
        raise ValueError(raw)

    def __bool__(self):
        return bool(self._comparable())


def _add_arithmetic(cls):
    import operator

    def number(value):
        return value._comparable() if isinstance(value, Simple) else value

    def forward(operation):
        return lambda self, other: operation(number(self), number(other))

    def backward(operation):
        return lambda self, other: operation(number(other), number(self))

    for name in ("add", "sub", "mul", "truediv", "floordiv"):
        operation = getattr(operator, name)
        setattr(cls, "__%s__" % name, forward(operation))
        setattr(cls, "__r%s__" % name, backward(operation))


_add_arithmetic(Integer)
_add_arithmetic(Float)


class EnumBase(Simple):
    """One of a few words; see `Enum`."""

    _values = ()

    def _validate(self):
        if not (isinstance(self._raw, str) and refs.is_template(self._raw)):
            try:
                self._convert(self._raw)
            except ValueError:
                raise FieldError("expected %s, got %s" % (self._wanted, described(self._raw)))

    @classmethod
    def _convert(cls, raw):
        if str(raw) not in cls._values:
            raise ValueError(raw)
        return str(raw)


def Enum(*args):
    """A type with the given values: Enum("a", "b") or Enum("Name", ("a", "b"))."""
    name, values = "Enum", args
    if len(args) == 2 and isinstance(args[1], (list, tuple)):
        name, values = args
    elif len(args) == 1 and isinstance(args[0], (list, tuple)):
        values = args[0]
    values = tuple(values)
    if not values or not all(isinstance(value, str) for value in values):
        raise ValueError("Enum takes the values it allows, as text")
    wanted = "one of " + ", ".join(values)
    members = {"_values": values, "_wanted": wanted}
    for value in values:
        if value.isidentifier() and not hasattr(EnumBase, value):
            members[value] = value
    return type(str(name), (EnumBase,), members)

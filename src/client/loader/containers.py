"""Values made of values: List, Map and Choice."""

from . import refs
from .errors import FieldError
from .values import Empty, Object, Simple, described


class ListBase(Object):
    """A sequence of one type; see `List`."""

    _item = None

    def __init__(self, values=()):
        if isinstance(values, ListBase):
            self._scopes = values._scopes
            values = values._items
        if not isinstance(values, (list, tuple, set, frozenset)):
            raise FieldError(
                "expected a list of %s, got %s" % (self._item.__name__, described(values))
            )
        items = []
        for index, value in enumerate(values):
            try:
                items.append(self._item._coerce(value))
            except FieldError as error:
                raise error.inside("[%d]" % index)
        self._items = tuple(items)

    @classmethod
    def _coerce(cls, value):
        return value if type(value) is cls else cls(value)

    @classmethod
    def _known_part(cls, data):
        return data

    def _render(self, run, chain):
        inner = chain.within(self)
        twin = self._clone()
        items = []
        for index, item in enumerate(self._items):
            run.path.append("[%d]" % index)
            items.append(item._render(run, inner))
            run.path.pop()
        twin._items = tuple(items)
        return twin

    def _step(self, kind, name, chain, run):
        if kind == "[" and name.isdigit() and int(name) < len(self._items):
            return self._items[int(name)]
        return None

    def _part(self, step):
        index = step[1:-1]
        in_range = index.isdigit() and int(index) < len(self._items)
        return self._items[int(index)] if in_range else None

    def get(self):
        return tuple(item.get() for item in self._items)

    def _plain(self):
        return [item._plain() for item in self._items]

    def __iter__(self):
        return iter(self._items)

    def __len__(self):
        return len(self._items)

    def __getitem__(self, index):
        return self._items[index]

    def __contains__(self, item):
        return any(own == item for own in self._items)

    def __add__(self, other):
        return list(self._items) + list(other)

    def __radd__(self, other):
        return list(other) + list(self._items)

    def __eq__(self, other):
        return (
            isinstance(other, ListBase) and self._rendered()._plain() == other._rendered()._plain()
        )

    def __hash__(self):
        return hash(self.json_dumps(sort_keys=True))

    def __repr__(self):
        return "%s(%s)" % (type(self).__name__, ", ".join(map(repr, self._items)))


class MapBase(Object):
    """Keys with values; see `Map`."""

    _key = None
    _value = None

    def __init__(self, *args):
        pairs = []
        for arg in args:
            if isinstance(arg, MapBase):
                self._scopes = arg._scopes
                pairs.extend(arg._pairs)
            elif isinstance(arg, dict):
                pairs.extend(arg.items())
            elif isinstance(arg, (tuple, list)) and len(arg) == 2:
                pairs.append(tuple(arg))
            else:
                raise FieldError("expected a dictionary, got %s" % described(arg))
        self._pairs = tuple(self._coerced(key, value) for key, value in pairs)

    def _coerced(self, key, value):
        try:
            return self._key._coerce(key), self._value._coerce(value)
        except FieldError as error:
            raise error.inside("[%s]" % (key,))

    @classmethod
    def _coerce(cls, value):
        return value if type(value) is cls else cls(value)

    def _render(self, run, chain):
        inner = chain.within(self)
        twin = self._clone()
        pairs = []
        for key, value in self._pairs:
            run.path.append("[%s]" % key)
            pairs.append((key._render(run, inner), value._render(run, inner)))
            run.path.pop()
        twin._pairs = tuple(pairs)
        return twin

    def _step(self, kind, name, chain, run):
        if kind != "[":
            return None
        inner = chain.within(self)
        for key, value in self._pairs:
            raw = key._raw if key._is_simple else None
            if isinstance(raw, str) and "{{" in raw:
                raw = refs.resolve(raw, inner.within(key), run)[0]
            if str(raw) == name:
                return value
        return None

    def get(self):
        return {key.get(): value.get() for key, value in self._pairs}

    def _plain(self):
        return {str(key._plain()): value._plain() for key, value in self._pairs}

    def items(self):
        return list(self._pairs)

    def keys(self):
        return [key for key, _ in self._pairs]

    def values(self):
        return [value for _, value in self._pairs]

    def __iter__(self):
        return iter(self.keys())

    def __len__(self):
        return len(self._pairs)

    def __contains__(self, wanted):
        return any(key == wanted for key, _ in self._pairs)

    def __getitem__(self, wanted):
        for key, value in self._pairs:
            if key == wanted:
                return value
        raise KeyError(wanted)

    def __eq__(self, other):
        return (
            isinstance(other, MapBase) and self._rendered()._plain() == other._rendered()._plain()
        )

    def __hash__(self):
        return hash(self.json_dumps(sort_keys=True))

    def __repr__(self):
        return "%s(%s)" % (
            type(self).__name__,
            ", ".join("%r => %r" % pair for pair in self._pairs),
        )


class ChoiceBase(Object):
    """Text that is decided on only when its references are resolved; see `Choice`.

    Everything else becomes a value of one of the alternatives as soon as it is given.
    """

    _alternatives = ()
    _is_simple = True

    def __init__(self, raw):
        self._raw = raw

    def __new__(cls, value=Empty):
        if value is Empty:
            raise FieldError("expected %s" % cls._wanted())
        decided = cls._decide(value)
        return object.__new__(cls) if decided is None else decided

    @classmethod
    def _wanted(cls):
        return "one of " + ", ".join(one.__name__ for one in cls._alternatives)

    @classmethod
    def _coerce(cls, value):
        return cls(value)

    @classmethod
    def _decide(cls, value):
        """A value of the first alternative that takes it, or None for text that has to wait."""
        if isinstance(value, ChoiceBase):
            value = value._raw
        if isinstance(value, Object):
            for one in cls._alternatives:
                if (
                    one._is_type_of(value)
                    if hasattr(one, "_is_type_of")
                    else isinstance(value, one)
                ):
                    return value
        simple = [one for one in cls._alternatives if issubclass(one, Simple)]
        if isinstance(value, str) and simple and refs.is_template(value):
            return None
        reasons = []
        for one in cls._alternatives:
            try:
                built = one._coerce(value)
                if isinstance(built, Simple) and not isinstance(value, Object):
                    one._convert(value)
                missing = built._missing() if built._is_struct else None
                if missing is None:
                    return built
                reasons.append("no %s: %s is not set" % (one.__name__, missing))
            except (FieldError, ValueError) as error:
                reasons.append("no %s: %s" % (one.__name__, error))
        raise FieldError(
            "expected %s, got %s (%s)" % (cls._wanted(), described(value), "; ".join(reasons))
        )

    @staticmethod
    def _as_text(raw):
        return str(raw)

    def _render(self, run, chain):
        for one in self._alternatives:
            if not issubclass(one, Simple):
                continue
            attempt = type(run)()
            rendered = one(self._raw)._render(attempt, chain.within(self))
            if not attempt.problems:
                for finding in attempt.unbound:
                    run.open(finding.what)
                return rendered
        run.problem("expected %s, got %s" % (self._wanted(), described(self._raw)))
        return self._clone()

    def get(self):
        return self._raw

    def _plain(self):
        return self._raw

    def __eq__(self, other):
        return isinstance(other, Object) and self._rendered()._plain() == other._rendered()._plain()

    def __hash__(self):
        return hash(self._raw)

    def __repr__(self):
        return "Choice(%s)" % (self._raw,)


_made = {}


def _type_of(base, name, members):
    key = (base, name, tuple(sorted((k, id(v)) for k, v in members.items())))
    made = _made.get(key)
    if made is None:
        made = _made[key] = type(name, (base,), members)
    return made


def _require_type(value):
    if not (isinstance(value, type) and issubclass(value, Object)):
        raise ValueError("%s is not a type of the schema" % described(value))
    return value


def List(item):
    """The type of lists of `item`."""
    _require_type(item)
    return _type_of(ListBase, item.__name__ + "List", {"_item": item})


def Map(key, value):
    """The type of maps from `key` to `value`."""
    _require_type(key)
    _require_type(value)
    name = "%s%sMap" % (key.__name__, value.__name__)
    return _type_of(MapBase, name, {"_key": key, "_value": value})


def Choice(*args):
    """The type of values of any of some types: Choice([A, B]) or Choice("Name", [A, B])."""
    name = args[0] if len(args) == 2 else None
    alternatives = args[-1] if args else ()
    if len(args) not in (1, 2) or not isinstance(alternatives, (list, tuple)) or not alternatives:
        raise ValueError("Choice takes a list of types")
    for one in alternatives:
        _require_type(one)
    alternatives = tuple(alternatives)
    return type(
        name or "Choice_" + "_".join(one.__name__ for one in alternatives),
        (ChoiceBase,),
        {"_alternatives": alternatives},
    )

"""References between double braces: their grammar, and the scopes they are looked up in.

A *chain* is the list of scopes that a piece of text sees, nearest first. Text is resolved again and
again until nothing changes, so a value may itself hold references.
"""

import re

from .errors import EndlessReplacement, InvalidReference

MAX_PASSES = 100
MAX_REPLACEMENTS = 20000

_TOKEN = re.compile(r"\{\{(&?)([^{}]+)\}\}")
_FIRST = re.compile(r"[A-Za-z_]\w*")
_NEXT = re.compile(r"\.([A-Za-z_]\w*)|\[([\w\-./]+)\]")


class Ref(object):
    """An address such as `profile.ports[http]`, as a tuple of ("." or "[", name) components."""

    __slots__ = ("components",)
    _known = {}

    def __init__(self, components):
        self.components = tuple(components)

    @classmethod
    def from_address(cls, address):
        known = cls._known.get(address)
        if known is None:
            known = cls._known[address] = cls._parse(address)
        return known

    @classmethod
    def _parse(cls, address):
        first = _FIRST.match(address)
        if first is None:
            raise InvalidReference(_invalid(address))
        components = [(".", first.group(0))]
        at = first.end()
        while at < len(address):
            step = _NEXT.match(address, at)
            if step is None:
                raise InvalidReference(_invalid(address))
            if step.group(1) is not None:
                components.append((".", step.group(1)))
            else:
                components.append(("[", step.group(2)))
            at = step.end()
        return cls(components)

    @property
    def address(self):
        text = "".join(
            "." + name if kind == "." else "[" + name + "]" for kind, name in self.components
        )
        return text[1:]

    def __eq__(self, other):
        return isinstance(other, Ref) and self.components == other.components

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return hash(self.components)

    def __str__(self):
        return "{{%s}}" % self.address

    def __repr__(self):
        return "Ref(%s)" % self.address


def _invalid(address):
    return (
        "{{%s}} is not a reference (a name, then .name or [index]); "
        "write {{&%s}} for these braces themselves" % (address, address)
    )


class Chain(object):
    """The scopes that the parts of a value see."""

    __slots__ = ("layers", "structs")

    def __init__(self, layers=(), structs=()):
        self.layers = layers
        self.structs = structs

    def within(self, value):
        """The chain for what is inside `value`, which itself stands in this chain."""
        layers = value._scopes + self.layers if value._scopes else self.layers
        if not value._is_struct:
            return self if layers is self.layers else Chain(layers, self.structs)
        own = StructScope(value, self)
        return Chain((own,) + layers, self.structs + (own,))

    def find(self, ref, run):
        """The value a reference leads to and the chain it stands in, or None."""
        components = ref.components
        for layer in self.layers:
            found = layer.find(components, run)
            if found is not None:
                return found
        if components[0] == (".", "super"):
            for outer in self.structs[:-1]:
                found = outer.descend(components[1:], run)
                if found is not None:
                    return found
        return None


NOTHING = Chain()


class StructScope(object):
    """The attributes of a struct, by bare name and as `self.name`."""

    __slots__ = ("struct", "chain")

    def __init__(self, struct, chain):
        self.struct = struct
        self.chain = chain

    def descend(self, components, run):
        return descend(self.struct, self.chain, components, run)

    def find(self, components, run):
        if components[0] == (".", "self") and len(components) > 1:
            found = self.descend(components[1:], run)
            if found is not None:
                return found
        return self.descend(components, run)


def descend(value, chain, components, run):
    """Follows components from a value that stands in `chain`."""
    for kind, name in components:
        step = value._step(kind, name, chain, run)
        if step is None:
            return None
        chain = chain.within(value)
        value = step
    return value, chain


def is_template(text):
    return "{{" in text and _TOKEN.search(text) is not None


def resolve(text, chain, run):
    """Replaces what can be replaced; returns the text, still escaped, and what is left over."""
    replaced = 0
    for _ in range(MAX_PASSES):
        left = []
        changed = []

        def replacement(token):
            if token.group(1):
                return token.group(0)
            ref = Ref.from_address(token.group(2))
            found = chain.find(ref, run)
            if found is None:
                left.append(ref)
                return token.group(0)
            changed.append(ref)
            value, where = found
            return run.text_of(ref, value, where)

        result = _TOKEN.sub(replacement, text)
        if not changed:
            return text, left
        replaced += len(changed)
        if replaced > MAX_REPLACEMENTS:
            raise EndlessReplacement("%s leads back to itself" % changed[0])
        text = result
    raise EndlessReplacement("%s leads back to itself" % changed[0])


def unescape(text):
    """`{{&x}}` is how `{{x}}` itself is written."""
    return _TOKEN.sub(
        lambda token: "{{%s}}" % token.group(2) if token.group(1) else token.group(0), text
    )

#!/usr/bin/env python3
"""Writes the golden messages: a call of every method and a reply with every result, every field set, encoded
by Apache's Thrift library in each of its protocols.

    golden.py DIR

Each of the files `calls.PROTOCOL` and `replies.PROTOCOL` has one message a line: its name and its bytes in
hexadecimal. Collections have one member, so that nothing depends on their order. Members of unions take
turns. Needs the package `thrift` from PyPI.
"""

import os
import sys

from thrift.Thrift import TMessageType, TType
from thrift.transport.TTransport import TMemoryBuffer

from drive import PROTOCOLS, encode
from interface import ARGS, RESULT, TYPES, UNIONS

# Numbers of enums, all of which have a member two.
ENUMS = {
    "action",
    "cronCollisionPolicy",
    "mode",
    "responseCode",
    "status",
    "statuses",
    "updateStatuses",
}


class Filler:
    """Makes values of every type, each number and text different from those before."""

    def __init__(self, turn):
        self.turn = turn
        self.count = 0

    def next(self):
        self.count += 1
        return self.count

    def value(self, label, kind, arguments):
        if kind == TType.BOOL:
            return True
        if kind == TType.DOUBLE:
            return self.next() + 0.25
        if kind == TType.I32:
            return 2 if label in ENUMS else 70000 + self.next()
        if kind == TType.I64:
            return (1 << 40) + self.next()
        if kind == TType.STRING:
            return "%s-\u00e9-%d" % (label, self.next())
        if kind in (TType.LIST, TType.SET):
            return [self.value(label, arguments[0], arguments[1])]
        if kind == TType.MAP:
            key = self.value(label, arguments[0], arguments[1])
            return {key: self.value(label, arguments[2], arguments[3])}
        return self.struct(arguments[0])

    def struct(self, cls, only=None):
        fields = [entry for entry in cls.thrift_spec if entry is not None]
        if only is not None:
            fields = [entry for entry in fields if entry[2] == only]
        elif cls.__name__ in UNIONS:
            fields = [fields[(self.turn + self.next()) % len(fields)]]
        made = {entry[2]: self.value(entry[2], entry[1], entry[3]) for entry in fields}
        return cls(**made)


def reply(protocol, name, result):
    buffer = TMemoryBuffer()
    out = PROTOCOLS[protocol](buffer)
    out.writeMessageBegin(name, TMessageType.REPLY, 5)
    result.write(out)
    out.writeMessageEnd()
    return buffer.getvalue()


def main():
    folder = sys.argv[1]
    for protocol in PROTOCOLS:
        calls, replies = [], []
        for turn, (method, cls) in enumerate(sorted(ARGS.items())):
            for variant in range(4):
                args = Filler(turn + variant).struct(cls)
                body = encode(protocol, method, 3, **args.__dict__)
                line = "%s %s" % (method, body.hex())
                if line not in calls:
                    calls.append(line)
        members = [entry[2] for entry in TYPES["Result"].thrift_spec if entry is not None]
        for turn, member in enumerate([None] + members):
            filler = Filler(turn)
            response = filler.struct(TYPES["Response"])
            response.result = member and filler.struct(TYPES["Result"], only=member)
            body = reply(protocol, member or "nothing", RESULT(success=response))
            replies.append("%s %s" % (member or "nothing", body.hex()))
        for name, lines in (("calls", calls), ("replies", replies)):
            with open(os.path.join(folder, "%s.%s" % (name, protocol)), "w") as out:
                out.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

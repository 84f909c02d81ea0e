#!/usr/bin/env python3
"""Compares what a running scheduler answers with a golden file, answer by answer.

    answers.py --url http://127.0.0.1:8081 --golden FILE --backups DIR [--write]
    answers.py --url http://127.0.0.1:8081 --golden FILE --unready [--write]

The first wants a new scheduler with one agent whose host is called 127.0.0.1, and goes through every method
of the three services with good requests and bad ones; the second wants a scheduler without a log. Every bad
request and every read is sent in all of Thrift's protocols and as plain JSON by /apibeta; a change that is
carried out is sent once, in one of them in turn. The golden file has each answer as Apache's library encodes
it in JSON, with identifiers, times and places replaced. `--write` makes the file anew: look at the difference.

Needs the package `thrift` from PyPI.
"""

import argparse
import http.client
import json
import os
import re
import sys
import time
import urllib.parse

from thrift.protocol.TJSONProtocol import TJSONProtocol
from thrift.Thrift import TType
from thrift.transport.TTransport import TMemoryBuffer

from drive import MEDIA, PROTOCOLS, check, decode, encode
from interface import ARGS, INVALID_REQUEST, OK, TYPES, UNIONS, Response
from names import NAMES

# What differs from run to run, by what takes its place.
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
BACKUP = re.compile(r"scheduler-backup-\d{4}(-\d\d){4}(-\d\d)?")
PLACE = re.compile(r"(?<![^ '])(/[^/ :]+)+/(?=[^/ ]+)")
TIMES = {"timestamp", "timestampMs", "createdTimestampMs", "lastModifiedTimestampMs", "nextCronRunMs"}
YEAR_2017 = 1500000000000
# Reads are those that may be asked again without a difference.
READS = {name for name in ARGS if name.startswith(("get", "populate"))} | {
    "listBackups",
    "maintenanceStatus",
    "queryRecovery",
}


def settled(label, kind, arguments, value):
    """A value in which nothing depends on the run or on an order that means nothing."""
    if value is None:
        return None
    if kind == TType.STRUCT:
        cls = arguments[0]
        fields = {}
        for entry in filter(None, cls.thrift_spec):
            fields[entry[2]] = settled(entry[2], entry[1], entry[3], getattr(value, entry[2]))
        return cls(**fields)
    if kind in (TType.LIST, TType.SET):
        inside = [settled(label, arguments[0], arguments[1], one) for one in value]
        return sorted(inside, key=repr) if kind == TType.SET else inside
    if kind == TType.MAP:
        return dict(sorted(value.items()))
    if label in TIMES and value > YEAR_2017:
        return 1
    if label == "scheduler":
        return "SCHEDULER"
    if kind == TType.STRING:
        value = UUID.sub("UUID", value)
        value = BACKUP.sub("BACKUP", value)
        return PLACE.sub("PLACE/", value) if label == "message" else value
    return value


def golden_text(response):
    """The answer as Apache's library encodes it in JSON."""
    buffer = TMemoryBuffer()
    response.write(TJSONProtocol(buffer))
    return buffer.getvalue().decode()


def plain(cls, value):
    """A struct as the plain JSON of /apibeta has it: names of fields, names of enums, what is set."""
    found = {}
    for entry in filter(None, cls.thrift_spec):
        part = getattr(value, entry[2])
        if part is None:
            continue
        found[entry[2]] = plain_part((cls.__name__, entry[2]), entry[1], entry[3], part)
    return found


def plain_part(place, kind, arguments, value):
    if kind == TType.STRUCT:
        return plain(arguments[0], value)
    if kind in (TType.LIST, TType.SET):
        return [plain_part(place, arguments[0], arguments[1], one) for one in value]
    if kind == TType.MAP:
        return dict(value)
    return NAMES[place].get(value, value) if place in NAMES else value


def from_plain(cls, found):
    """The struct that plain JSON describes."""
    fields = {}
    for entry in filter(None, cls.thrift_spec):
        if entry[2] in found:
            label, kind, arguments = entry[2], entry[1], entry[3]
            fields[label] = part_from_plain((cls.__name__, label), kind, arguments, found[label])
    unknown = set(found) - set(fields)
    check("fields of %s that are none" % cls.__name__, unknown, set())
    if cls.__name__ in UNIONS:
        check("members of %s" % cls.__name__, len(fields), 1)
    return cls(**fields)


def part_from_plain(place, kind, arguments, value):
    if kind == TType.STRUCT:
        return from_plain(arguments[0], value)
    if kind in (TType.LIST, TType.SET):
        return [part_from_plain(place, arguments[0], arguments[1], one) for one in value]
    if kind == TType.DOUBLE:
        return float(value)
    if place in NAMES:
        numbers = {name: number for number, name in NAMES[place].items()}
        return numbers[value]
    return value


class Site:
    """A scheduler, called in any of its encodings."""

    WAYS = tuple(PROTOCOLS) + ("beta",)

    def __init__(self, url):
        self.url = urllib.parse.urlsplit(url)
        self.sent = 0

    def post(self, path, body, headers):
        link = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=60)
        try:
            link.request("POST", path, body, headers)
            answer = link.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            link.close()

    def ask(self, way, method, args):
        """The Response to a call, by one of the ways."""
        if way == "beta":
            body = json.dumps(plain(ARGS[method], ARGS[method](**args))).encode()
            headers = {"Content-Type": "application/json"}
            status, answer, body = self.post("/apibeta/" + method, body, headers)
            check("%s: status" % method, (status, body[:0]), (200, b""))
            check("%s: type" % method, answer["Content-Type"], "application/json")
            return from_plain(Response, json.loads(body))
        self.sent += 1
        headers = {"Content-Type": MEDIA[way], "Accept": MEDIA[way]}
        if way == "json" and self.sent % 2:
            # What clients sent before there were media types of Thrift's own.
            headers = {"Content-Type": ("application/json", "application/x-thrift")[self.sent % 4 // 2]}
        status, answer, body = self.post("/api", encode(way, method, self.sent, **args), headers)
        check("%s: status" % method, status, 200)
        check("%s: type" % method, answer["Content-Type"], MEDIA[way])
        return decode(way, method, body, self.sent)


class Recorder:
    """Asks, compares the ways with each other, and keeps what was answered."""

    def __init__(self, site):
        self.site = site
        self.turn = 0
        self.lines = []
        self.cases = set()

    def settle(self, response):
        return golden_text(settled("", TType.STRUCT, [Response], response))

    def step(self, method, case, **args):
        """Sends a request, once if it changes something, and keeps the answer under `method: case`."""
        name = "%s: %s" % (method, case)
        check("%s was recorded before" % name, name in self.cases, False)
        self.cases.add(name)
        self.turn += 1
        first = self.site.WAYS[self.turn % len(self.site.WAYS)]
        response = self.site.ask(first, method, args)
        text = self.settle(response)
        if method in READS or response.responseCode != OK:
            for way in self.site.WAYS:
                check("%s by %s" % (name, way), self.settle(self.site.ask(way, method, args)), text)
        self.lines.append("## %s\n%s\n" % (name, text))
        return response.result and response.result.member()[1]

    def until(self, method, good, **args):
        """Waits until the result of a read is `good`."""
        deadline = time.monotonic() + 60
        while True:
            response = self.site.ask("binary", method, args)
            if good(response.result.member()[1]):
                return
            if time.monotonic() > deadline:
                raise AssertionError("%s: not what was waited for: %r" % (method, response))
            time.sleep(0.05)


def compare(path, found):
    """Says which answers are not those of the golden file."""
    with open(path) as golden:
        expected = golden.read()
    if found == expected:
        return 0
    sections = lambda text: dict(part.split("\n", 1) for part in text.split("## ") if part)
    found, expected = sections(found), sections(expected)
    for name in sorted(set(found) | set(expected)):
        if found.get(name) != expected.get(name):
            print("DIFFERS %s\n  expected %s  found    %s" % (name, expected.get(name), found.get(name)))
    print("FAILED: the answers are not those of %s" % path, file=sys.stderr)
    return 1


def main():
    import scenario

    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--golden", required=True)
    parser.add_argument("--backups", metavar="DIR")
    parser.add_argument("--unready", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    recorder = Recorder(Site(options.url))
    if options.unready:
        scenario.before_storage_is_ready(recorder)
    else:
        scenario.everything(recorder, options.backups)
    scenario.check_complete(recorder.cases, options.unready)
    text = "".join(recorder.lines)
    print("%d answers" % len(recorder.lines))
    if options.write:
        with open(options.golden, "w") as out:
            out.write(text)
        return 0
    return compare(options.golden, text)


if __name__ == "__main__":
    sys.exit(main())

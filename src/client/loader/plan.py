"""Checks the order of a task's processes the way the executor will read it.

There are two plans, one for ordinary processes and one for final ones. Each constraint lies within
one of them. Nothing waits for a daemon, nothing that must succeed waits for something that may fail
(ephemeral), and nothing waits for itself.
"""

import re

_NAME = re.compile(r"^[^./][^/]*\Z")


class PlanError(ValueError):
    """An order that no executor can follow; `step` is the part of the task at fault."""

    def __init__(self, message, step):
        super().__init__(message)
        self.step = step


def check(task):
    """Takes a task as plain data, rendered; raises PlanError."""
    processes = {}
    for index, process in enumerate(task.get("processes", [])):
        step = ".processes[%d].name" % index
        name = process["name"]
        if not _NAME.match(name):
            raise PlanError(
                "%r is no name for a process: it must not be empty, start with a dot or hold a slash"
                % name,
                step,
            )
        if name in processes:
            raise PlanError("there are two processes with the name %r" % name, step)
        processes[name] = process
    edges = {name: {} for name in processes}
    for index, constraint in enumerate(task.get("constraints", [])):
        step = ".constraints[%d].order" % index
        _check_constraint(constraint.get("order", []), processes, edges, step)
    _check_cycles(edges)


def _check_constraint(names, processes, edges, step):
    for name in names:
        if name not in processes:
            raise PlanError("there is no process %r" % name, step)
    kinds = {bool(processes[name]["final"]) for name in names}
    if len(kinds) > 1:
        raise PlanError(
            "orders final and ordinary processes together; they never run together", step
        )
    for before, after in zip(names, names[1:]):
        if processes[before]["daemon"]:
            raise PlanError("%r waits for the daemon %r, which never ends" % (after, before), step)
        if processes[before]["ephemeral"] and not processes[after]["ephemeral"]:
            raise PlanError(
                "%r waits for %r, which is ephemeral while %r is not" % (after, before, after), step
            )
        edges[before].setdefault(after, step)


def _check_cycles(edges):
    """Walks with a list of its own: orders may be longer than the interpreter's stack."""
    done = set()
    for start in edges:
        path, entered = [], {}
        stack = [(start, None)]
        while stack:
            name, step = stack.pop()
            if name is None:
                left = path.pop()
                del entered[left]
                done.add(left)
                continue
            if name in entered:
                cycle = path[entered[name] :] + [name]
                raise PlanError("the order is a circle: %s" % " < ".join(cycle), step)
            if name in done:
                continue
            entered[name] = len(path)
            path.append(name)
            stack.append((None, None))
            stack.extend(edges[name].items())

"""Functions that job files use to put processes and tasks together."""

from . import refs
from .errors import FieldError
from .schema import GB, Constraint, Process, Resources, Task
from .values import Empty, Object, Run, Simple


def _name_of(process):
    return process.name() if isinstance(process, Process) else process


def order(*processes):
    """Constraints (a list of one) that run the given processes, or names, one after the other."""
    return [Constraint(order=[_name_of(process) for process in processes])]


def _parts(task, attribute):
    """The members of a list attribute, each still seeing what it saw inside its task."""
    values = task._values[attribute]
    if values is Empty:
        return []
    outer = refs.NOTHING.within(task).layers
    kept = []
    for value in values:
        twin = value._clone()
        if outer[0].struct._scopes or values._scopes or _refers(value):
            twin._scopes = value._scopes + values._scopes + outer
        kept.append(twin)
    return kept


def _refers(value):
    """Whether a value still holds references."""
    return "{{" in value.json_dumps()


def _number(value):
    """A resource as a number; what is not set counts as nothing."""
    if value is Empty:
        return 0
    run = Run()
    rendered = value._render(run, refs.NOTHING)
    if run.unbound or run.problems:
        raise FieldError("cannot calculate with %r before its references are bound" % value.get())
    return rendered.get()


def _unique(values):
    kept = []
    for value in values:
        if value not in kept:
            kept.append(value)
    return kept


def _resources(task):
    return task.resources() if task.has_resources() else Empty


class Units(object):
    """Arithmetic on parts of tasks."""

    @staticmethod
    def safe_get(value):
        """The number behind a value of the schema; 0 for Empty."""
        if isinstance(value, Object) or value is Empty:
            return _number(value)
        return value

    @classmethod
    def optional_resources(cls, resources):
        """Resources with 0 for what is not set."""
        got = {} if resources is Empty else resources._values
        return Resources(
            cpu=cls.safe_get(got.get("cpu", Empty)),
            ram=cls.safe_get(got.get("ram", Empty)),
            disk=cls.safe_get(got.get("disk", Empty)),
            gpu=cls.safe_get(got.get("gpu", Empty)),
        )

    @classmethod
    def _fold(cls, resources, fold):
        full = [cls.optional_resources(one)._values for one in resources]
        return Resources(
            **{
                name: fold([_number(one[name]) for one in full] or [0])
                for name in Resources._fields
            }
        )

    @classmethod
    def resources_sum(cls, *resources):
        return cls._fold(resources, sum)

    @classmethod
    def resources_max(cls, resources):
        return cls._fold(resources, max)

    @classmethod
    def finalization_wait_sum(cls, waits):
        return sum(cls.safe_get(wait) for wait in waits)

    @classmethod
    def finalization_wait_max(cls, waits):
        return max([cls.safe_get(wait) for wait in waits] or [0])

    @classmethod
    def processes_merge(cls, tasks):
        return _unique(process for task in tasks for process in _parts(task, "processes"))

    @classmethod
    def constraints_merge(cls, tasks):
        return _unique(one for task in tasks for one in _parts(task, "constraints"))


def _joined(tasks, kw, constraints, resources, wait):
    template = tasks[-1]
    given = {
        "processes": Units.processes_merge(tasks),
        "constraints": constraints,
        "finalization_wait": wait([task.finalization_wait() for task in tasks]),
    }
    known = [_resources(task) for task in tasks if task.has_resources()]
    if known:
        given["resources"] = resources(known)
    given.update(kw)
    return template(**given)


def combine_tasks(*tasks, **kw):
    """One task that runs the processes of all at the same time."""
    if not tasks:
        return Task(**kw)
    constraints = Units.constraints_merge(tasks)
    return _joined(
        tasks,
        kw,
        constraints,
        lambda known: Units.resources_sum(*known),
        Units.finalization_wait_max,
    )


def concat_tasks(*tasks, **kw):
    """One task that runs the processes of each task after all of the task before."""
    if not tasks:
        return Task(**kw)
    constraints = Units.constraints_merge(tasks)
    for before, after in zip(tasks, tasks[1:]):
        for first in _parts(before, "processes"):
            for then in _parts(after, "processes"):
                constraints += order(first, then)
    return _joined(
        tasks, kw, _unique(constraints), Units.resources_max, Units.finalization_wait_sum
    )


def SimpleTask(name, command):
    """A task of one process."""
    return Task(
        name=name,
        processes=[Process(name=name, cmdline=command)],
        resources=Resources(cpu=1.0, ram=1 * GB, disk=1 * GB),
    )


def _sequential(task):
    if task.has_constraints() and len(task._values["constraints"]):
        raise ValueError("a sequential task orders its processes itself: leave out constraints")
    processes = task._values["processes"]
    if processes is Empty:
        return task
    return task(constraints=order(*processes))


def SequentialTask(*args, **kw):
    """A task that runs its processes in the order they are listed."""
    return _sequential(Task(*args, **kw))


class Tasks(object):
    """The functions on tasks under one name."""

    simple = staticmethod(SimpleTask)
    sequential = staticmethod(_sequential)
    combine = staticmethod(combine_tasks)
    concat = staticmethod(concat_tasks)


class Processes(object):
    """The functions on processes under one name."""

    order = staticmethod(order)


def _options(dashes, args, kw):
    words = []
    for arg in list(args) + [kw]:
        pairs = arg.items() if isinstance(arg, dict) else [(arg, None)]
        for option, value in pairs:
            if isinstance(value, Simple):
                value = value.get()
            words.append(dashes(str(option)) + str(option))
            if value:
                words.append(str(value))
    return " ".join(words)


def java_options(*args, **kw):
    """A command line of options with one dash each."""
    return _options(lambda option: "-", args, kw)


def python_options(*args, **kw):
    """A command line of options with one dash for letters, two for words."""
    return _options(lambda option: "-" if len(option) == 1 else "--", args, kw)


class Options(object):
    """The functions on options under one name."""

    java = staticmethod(java_options)
    python = staticmethod(python_options)


def names():
    """What this module puts into the namespace of a job file."""
    return {
        "Units": Units,
        "Tasks": Tasks,
        "Processes": Processes,
        "Options": Options,
        "order": order,
        "SimpleTask": SimpleTask,
        "SequentialTask": SequentialTask,
        "combine_tasks": combine_tasks,
        "concat_tasks": concat_tasks,
        "java_options": java_options,
        "python_options": python_options,
    }

"""Which ports a job asks for."""

from .errors import FieldError


def resolved(portmap):
    """The map with chains followed to their end: a name, or a number as an int."""
    ends = {}
    for name in portmap:
        seen = [name]
        target = portmap[name]
        while target in portmap and target != seen[-1]:
            if target in seen:
                circle = " -> ".join(seen[seen.index(target) :] + [target])
                raise FieldError("the port names lead in a circle: %s" % circle)
            seen.append(target)
            target = portmap[target]
        ends[name] = int(target) if target.isdigit() else target
    return ends


def requested(referenced, portmap):
    """The names to ask for, sorted: of the processes, and where the portmap leads."""
    ends = resolved(portmap)
    wanted = set()
    for name in referenced:
        wanted.add(ends.get(name, name))
    wanted.update(ends.values())
    return sorted(name for name in wanted if not isinstance(name, int))

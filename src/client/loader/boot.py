# Run as `python3 -I -c`. Standard input starts with a line that holds a number, and so many bytes of
# JSON: an object that maps the names of the loader's modules to their source. The lines after it are
# requests.
import importlib.abc
import importlib.util
import json
import sys


class Embedded(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def __init__(self, sources):
        self.sources = sources

    def find_spec(self, name, path=None, target=None):
        if name not in self.sources:
            return None
        return importlib.util.spec_from_loader(name, self, is_package="." not in name)

    def is_package(self, name):
        return "." not in name

    def get_source(self, name):
        return self.sources[name]


if sys.version_info < (3, 6):
    sys.exit("job files need Python 3.6 or newer; this is %s" % sys.version.split()[0])


def take(size):
    taken = bytearray()
    while len(taken) < size:
        piece = sys.stdin.buffer.raw.read(size - len(taken))
        if not piece:
            sys.exit("the loader was started without its modules")
        taken += piece
    return bytes(taken)


def modules():
    # Read past all buffers: what follows is for the loader.
    size = b""
    while not size.endswith(b"\n"):
        size += take(1)
    return json.loads(take(int(size)).decode("utf-8"))


sys.meta_path.insert(0, Embedded(modules()))
sys.dont_write_bytecode = True
from aurora_loader.main import serve  # noqa: E402

serve()

"""An image's compiled modules in one file, from which a job loads Snakemake.

Each import of a module asks the file system for several files. In an image that is mounted by FUSE for each job anew, that
takes half of the time in which Snakemake is loaded: with 900 modules half a second. Whoever builds a worker image may run

    python3 fallow_modules.py [ROOT]

in it once, or outside with the image's root directory and a Python of the same version. Jobs work without as well.

Only the standard library may be used: the file travels with each job.
"""

import importlib.machinery
import importlib.util
import marshal
import os
import sys
from typing import Any

PACKED = "/usr/local/lib/fallow/modules"
_HEADER_BYTES = 16
"""Of a `.pyc` file, before its code."""
_LENGTH_BYTES = 4
"""After the magic number of the Python that compiled the modules: how long the index is."""
_SKIPPED = frozenset(
    {
        "test",
        "idlelib",
        "tkinter",
        "lib2to3",
        "ensurepip",
        "pydoc_data",
        "pip",
        "sqlalchemy",
        "sqlmodel",
        "numpy",
        "pandas",
    }
)
"""What no job's Snakemake loads, and large."""


def pack(root: str) -> None:
    """Write the file for the image whose root directory this is."""
    import io
    from pathlib import Path

    index: dict[str, tuple[str, bool, int, int]] = {}
    codes = io.BytesIO()
    for folder in _folders():
        top = Path(root) / folder.lstrip("/")
        for file in sorted(top.rglob("*.py")):
            parts = file.relative_to(top).with_suffix("").parts
            package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if package else parts)
            compiled = Path(importlib.util.cache_from_source(str(file)))
            if not name or name in index or parts[0] in _SKIPPED or not compiled.is_file():
                continue
            content = compiled.read_bytes()
            if content[:4] == importlib.util.MAGIC_NUMBER:
                origin = f"{folder}/{file.relative_to(top)}"
                index[name] = origin, package, codes.tell(), len(content) - _HEADER_BYTES
                codes.write(content[_HEADER_BYTES:])
    said = marshal.dumps(index)
    target = Path(root) / PACKED.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(
        importlib.util.MAGIC_NUMBER + len(said).to_bytes(_LENGTH_BYTES, "big") + said + codes.getbuffer()
    )


def _folders() -> "list[str]":
    """Where this Python looks for modules, in its order, but for what a user adds."""
    import site
    import sysconfig

    return list(dict.fromkeys([sysconfig.get_path("stdlib"), *site.getsitepackages()]))


class Finder:
    """Finds the packed modules, before anybody looks for their files.

    Args:
        packed: The file that `pack` wrote.

    Raises:
        OSError: There is none.
        ValueError: It is for another Python.
    """

    def __init__(self, packed: str = PACKED) -> None:
        self._file = os.open(packed, os.O_RDONLY | os.O_CLOEXEC)
        magic = os.read(self._file, len(importlib.util.MAGIC_NUMBER))
        if magic != importlib.util.MAGIC_NUMBER:
            raise ValueError("the packed modules are for another Python")
        length = int.from_bytes(os.read(self._file, _LENGTH_BYTES), "big")
        self._begin = len(magic) + _LENGTH_BYTES + length
        self._index = marshal.loads(os.read(self._file, length))  # noqa: S302 - the image's own

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002 - the protocol
        """How to load the module of that name, or None."""
        found = self._index.get(name)
        if found is None:
            return None
        origin, package, offset, size = found
        loader = _Loader(name, origin)
        loader.code = os.pread(self._file, size, self._begin + offset)
        below = [os.path.dirname(origin)] if package else None  # noqa: PTH120 - pathlib is one of the modules
        return importlib.util.spec_from_file_location(
            name, origin, loader=loader, submodule_search_locations=below
        )


class _Loader(importlib.machinery.SourceFileLoader):
    code: bytes

    def get_code(self, fullname: str) -> Any:  # noqa: ARG002 - the protocol
        return marshal.loads(self.code)  # noqa: S302 - the image's own, as its .pyc files are


if __name__ == "__main__":
    pack(sys.argv[1] if sys.argv[1:] else "/")

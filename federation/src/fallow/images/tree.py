"""The digest of a directory tree, by which the unpacked copy of an image is told from any other.

What counts: the names, the kind of each entry, what files hold, whether a file may be executed, where links lead. What does
not: owners, times, other modes, devices, and Apptainer's notes on the build, which differ from one unpacking to the next.
"""

# ruff: noqa: PTH115, PTH118 - names are bytes here: those in an image need be no text
from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from fallow.files import sha256_of

NOTES = frozenset(
    b".singularity.d/" + name for name in (b"labels.json", b"Singularity", b"bootstrap_history")
)
"""Written anew whenever Apptainer unpacks an image, with the time; no program of the image is run by them."""


def tree_digest(root: Path) -> str:
    """The digest of everything below `root`, `sha256:<64 hex>`.

    Raises:
        OSError: Something in it cannot be read.
    """
    total = hashlib.sha256()
    for line in _lines(os.fsencode(root), b""):
        total.update(line)
    return f"sha256:{total.hexdigest()}"


def _lines(root: bytes, below: bytes) -> Iterator[bytes]:
    """One record for each entry, in the order of their names' bytes; NUL ends a field, for no name holds it."""
    with os.scandir(os.path.join(root, below)) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = os.path.join(below, entry.name)
        if path in NOTES:
            continue
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            yield b"link\0" + path + b"\0" + os.readlink(entry.path) + b"\0"
        elif stat.S_ISDIR(status.st_mode):
            yield b"directory\0" + path + b"\0"
            yield from _lines(root, path)
        elif stat.S_ISREG(status.st_mode):
            kind = b"program" if status.st_mode & stat.S_IXUSR else b"file"
            content = sha256_of(Path(os.fsdecode(entry.path))).encode()
            yield kind + b"\0" + path + b"\0" + content + b"\0"

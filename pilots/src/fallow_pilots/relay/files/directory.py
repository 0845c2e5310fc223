"""The directory of all links: one directory in it for each, never used twice, so that no link meets another's bytes."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from collections.abc import Collection
from pathlib import Path

from fallow.files import private_directory
from fallow_pilots.relay.files.spool import Note, Spool

UP, DOWN = "up", "down"
"""What a link's files are called: those of the node, and those of the relay."""
_NAME = re.compile(r"([a-z0-9][a-z0-9-]{0,90})[.][0-9a-f]{16}")


def make(root: Path, pilot: str) -> Spool:
    """A new link of a pilot, seen whole or not at all; what is left of the pilot's last one goes.

    Raises:
        OSError: It cannot be made.
    """
    private_directory(root)
    for path in root.iterdir():
        if path.name.lstrip(".").rpartition(".")[0] == pilot:
            shutil.rmtree(path, ignore_errors=True)
    name = f"{pilot}.{secrets.token_hex(8)}"
    draft = root / f".{name}"
    draft.mkdir(mode=0o700)
    for side in (UP, DOWN):
        (draft / side).touch(mode=0o600)
    Spool(draft, UP, DOWN).tell(Note(beat=1))
    draft.rename(root / name)
    return Spool(root / name, UP, DOWN)


def found(root: Path, known: Collection[Path]) -> list[Spool]:
    """The links that are not known yet, as the relay sees them.

    Raises:
        OSError: The directory cannot be read.
    """
    # A client of NFS looks anew at a directory that it has changed itself, and else only after up to a minute.
    os.utime(root)
    spools = []
    for path in root.iterdir():
        if path not in known and _NAME.fullmatch(path.name) and _is_own(path):
            spools.append(Spool(path, DOWN, UP))
    return spools


def clear(root: Path) -> None:
    """Remove all links: nobody of now knows how far they were."""
    for path in root.iterdir():
        shutil.rmtree(path, ignore_errors=True)


def _is_own(path: Path) -> bool:
    try:
        about = path.lstat()
    except FileNotFoundError:
        return False
    closed = stat.S_IMODE(about.st_mode) & 0o077 == 0
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and closed

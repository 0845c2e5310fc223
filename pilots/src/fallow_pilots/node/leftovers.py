"""What pilots that were killed left in a scratch directory: the next one on the same node removes it.

A pilot that ends removes its own. One that is killed, or loses its power, cannot: its files, a token among them, would lie
there until an admin found them. So each directory says on which node its pilot lives, under a lock that ends with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fallow_pilots.node.trees import remove_tree

log = logging.getLogger(__name__)

PREFIX = "fallow-"
MARK = "alive"
"""The locked file; in it stands the name of the node."""
WITHIN_S = 10.0
"""How long a pilot takes for it before it goes on: the next one does the rest."""


def mark(root: Path) -> None:
    """Say that the pilot whose directory this is lives, for as long as this process does.

    On a file system without locks nothing is said, and so the directory is never taken for a leftover.
    """
    draft = root / f".{MARK}"
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, _node())
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        draft.rename(root / MARK)
    except OSError as error:
        log.warning("no lock can be had in %s, a killed pilot's files will stay: %s", root, error.strerror)
        os.close(descriptor)
        draft.unlink(missing_ok=True)


def clear(scratch_dir: Path, within_s: float = WITHIN_S) -> None:
    """Remove what killed pilots of this user and this node left, in a process that is ended when it takes too long."""
    try:
        there = any(_is_left(root) for root in _directories(scratch_dir))
    except OSError:
        return  # who makes a directory there says what is wrong
    if not there:
        return
    try:
        subprocess.run(
            [sys.executable, "-m", __spec__.name, str(scratch_dir)],
            stdin=subprocess.DEVNULL,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        log.warning("what killed pilots left in %s is not all removed after %.0f s", scratch_dir, within_s)


def remove_all(scratch_dir: Path) -> None:
    """Remove each directory whose pilot lives no more."""
    for root in _directories(scratch_dir):
        with _held(root) as is_left:
            if is_left:
                log.info("removing what a killed pilot left in %s", root)
                remove(root)


def remove(root: Path) -> None:
    """Delete a pilot's directory, its mark last: where that is broken off, it is still known for a leftover."""
    with contextlib.suppress(FileNotFoundError):
        for path in root.iterdir():
            if path.name != MARK:
                remove_tree(path)
        remove_tree(root)


def _directories(scratch_dir: Path) -> Iterator[Path]:
    """This user's directories of pilots."""
    with os.scandir(scratch_dir) as entries:
        for entry in entries:
            mine = entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False)
            if mine and entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                yield Path(entry.path)


def _is_left(root: Path) -> bool:
    with _held(root) as is_left:
        return is_left


@contextmanager
def _held(root: Path) -> Iterator[bool]:
    """Whether a directory's pilot lived on this node and lives no more; nobody else finds it so within."""
    try:
        descriptor = os.open(root / MARK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        yield os.read(descriptor, 256) == _node() and _locked(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _node() -> bytes:
    return os.uname().nodename.encode()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    remove_all(Path(sys.argv[1]))

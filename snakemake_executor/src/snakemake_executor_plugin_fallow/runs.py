"""Runs over their interruptions: a run that was killed is taken up again by the next call in the same directory.

Each run that is under way has a file in `.snakemake/fallow/open`, locked by its process for as long as it lives. A file
that nobody locks belongs to a process that was killed: its jobs are still in the queue, under the same run and keys.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fallow.files import private_directory

log = logging.getLogger(__name__)

OPEN = "open"


@dataclass
class Run:
    """A run of this process, claimed until `close`."""

    id: str
    resumed: bool
    """Whether a killed process began it."""
    _file: IO[str]

    def note_locks(self, paths: Iterable[str]) -> None:
        """Remember the lock files of Snakemake that this process holds, for whoever takes the run up after a kill."""
        found = [(str(Path(path).absolute()), Path(path).stat().st_mtime_ns) for path in paths]
        self._file.seek(0)
        self._file.truncate()
        json.dump({"locks": found}, self._file)
        self._file.flush()

    def close(self) -> None:
        """Say that the run has ended: it will not be taken up again."""
        with contextlib.suppress(FileNotFoundError):
            Path(self._file.name).unlink()
        self._file.close()


def claim(records: Path) -> Run:
    """Take up the latest run in `records` whose process was killed, or begin a new one."""
    folder = private_directory(records / OPEN)
    for path in _latest_first(folder):
        file = _locked(path)
        if file is not None:
            return Run(path.stem, True, file)
    while True:
        name = time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + secrets.token_hex(3)
        path = folder / f"{name}.json"
        path.touch(mode=0o600)
        file = _locked(path)
        if file is not None:
            return Run(name, False, file)


def killed(records: Path) -> list[str]:
    """The runs in `records` whose processes were killed, the latest first."""
    found = []
    for path in _latest_first(records / OPEN):
        file = _locked(path)
        if file is not None:
            found.append(path.stem)
            file.close()
    return found


def remove_locks(records: Path, run: str) -> list[Path]:
    """Remove the locks that the killed process of `run` left in Snakemake's directory; returns them."""
    path = records / OPEN / f"{run}.json"
    removed = []
    for name, modified_ns in _content(path).get("locks", []):
        lock = Path(name)
        with contextlib.suppress(FileNotFoundError):
            if lock.stat().st_mtime_ns == modified_ns:  # else it is somebody else's
                lock.unlink()
                removed.append(lock)
    return removed


def _latest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"), reverse=True) if folder.is_dir() else []


def _content(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8") or "{}")
    except (OSError, ValueError) as error:
        log.info("nothing can be read from %s: %s", path, error)
        return {}
    return found if isinstance(found, dict) else {}


def _locked(path: Path) -> IO[str] | None:
    """The file, locked by us; None where its process lives or has ended it meanwhile."""
    try:
        file = path.open("r+", encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    file.close()
    return None

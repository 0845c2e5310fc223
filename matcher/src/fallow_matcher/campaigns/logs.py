"""What jobs wrote, from HTCondor's spool on the hub's disk into the database: the end of each stream."""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path

KEPT_BYTES = 64 * 1024
"""So much of the end of each stream is kept."""


@dataclass(frozen=True)
class Written:
    """The end of what an attempt wrote."""

    stdout: bytes = b""
    stderr: bytes = b""
    truncated: bool = False

    def row(self, row: int, attempt: int) -> dict[str, object]:
        """As the database keeps it."""
        return {
            "row": row,
            "attempt": attempt,
            "stdout": zlib.compress(self.stdout, 1),
            "stderr": zlib.compress(self.stderr, 1),
            "truncated": self.truncated,
        }


def folder(spool: Path, cluster: int, process: int) -> Path:
    """Where HTCondor keeps the files of a spooled job. Source: condor_utils/spooled_job_files.cpp of HTCondor."""
    name = f"cluster{cluster}.proc{process}.subproc0"
    return spool / str(cluster % 10_000) / str(process % 10_000) / name


def written(place: Path) -> Written:
    """What lies in a job's folder; nothing where it never ran."""
    out, out_cut = _end(place / "stdout")
    err, err_cut = _end(place / "stderr")
    return Written(out, err, out_cut or err_cut)


def _end(path: Path) -> tuple[bytes, bool]:
    """The end of a plain file: what a job sent is its owner's word, so no link is followed."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            about = os.fstat(descriptor)
            if stat.S_ISREG(about.st_mode):
                stream.seek(max(0, about.st_size - KEPT_BYTES))
                return stream.read(KEPT_BYTES), about.st_size > KEPT_BYTES
    return b"", False

"""Who got what until when: JSON lines, one per thing handed out. Never a token, never a key."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

request_id: ContextVar[str] = ContextVar("request_id", default="-")


ROTATE_BYTES = 64 * 1024 * 1024
"""A file that has grown so large is put away under a name with its date, and kept."""


class Audit:
    """Appends to one file, mode 0600; each line is one write, so that two processes may share it.

    Args:
        path: The file; made when missing.
        rotate_bytes: How large it may grow before a new one is begun.
    """

    def __init__(self, path: Path, rotate_bytes: int = ROTATE_BYTES) -> None:
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._descriptor = self._open()
        self._lock = threading.Lock()

    def write(self, event: str, **fields: object) -> None:
        """Record one event with its fields."""
        record = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "request_id": request_id.get(),
            **fields,
        }
        line = json.dumps(record, default=str) + "\n"
        with self._lock:
            self._rotate()
            os.write(self._descriptor, line.encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _rotate(self) -> None:
        """Begin a new file where this one is full; another process may have done so already."""
        mine = os.fstat(self._descriptor)
        if mine.st_size < self._rotate_bytes:
            return
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == mine.st_ino:
                moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
                self._path.rename(self._path.with_name(f"{self._path.stem}-{moment}{self._path.suffix}"))
        os.close(self._descriptor)
        self._descriptor = self._open()


def audit_file(state_dir: Path) -> Path:
    """Where the gateway of a hub keeps its record."""
    return state_dir / "gateway" / "audit.jsonl"


def records_of(path: Path, jti: str) -> Iterator[dict[str, Any]]:
    """What the record says of one token: lines in which `jti` was shown to the gateway or given out by it.

    It is read line by line, what was put away first: it may be large, and its last line may still be in writing.
    """
    put_away = sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"))
    for each in (*put_away, path):
        with contextlib.suppress(FileNotFoundError), each.open(encoding="utf-8") as lines:
            for line in lines:
                if jti in line:
                    with contextlib.suppress(ValueError):
                        record = json.loads(line)
                        if jti in (record.get("jti"), record.get("issued_jti")):
                            yield record

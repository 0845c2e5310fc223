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


class Audit:
    """Appends to one file, mode 0600; each line is one write, so that two processes may share it.

    Args:
        path: The file; made when missing.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
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
            os.write(self._descriptor, line.encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def audit_file(state_dir: Path) -> Path:
    """Where the gateway of a hub keeps its record."""
    return state_dir / "gateway" / "audit.jsonl"


def records_of(path: Path, jti: str) -> Iterator[dict[str, Any]]:
    """What the record says of one token: lines in which `jti` was shown to the gateway or given out by it.

    It is read line by line: it may be large, and its last line may still be in writing.
    """
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if jti in line:
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
                    if jti in (record.get("jti"), record.get("issued_jti")):
                        yield record

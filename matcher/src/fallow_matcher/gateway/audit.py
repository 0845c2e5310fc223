"""Who got what until when: JSON lines, one per thing handed out. Never a token, never a key."""

from __future__ import annotations

import json
import os
import threading
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

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

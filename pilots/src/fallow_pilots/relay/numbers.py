"""What the relay counts, for Prometheus."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge

from fallow_pilots.metrics import put

EVERY_S = 15.0


class Numbers:
    """Counts from the relay's start on.

    Args:
        relay: Tells the relays of a host apart.
    """

    def __init__(self, relay: str) -> None:
        self._registry = CollectorRegistry()
        self._path: Path | None = None
        self._next = 0.0
        registry = self._registry
        at = Gauge("fallow_relay_timestamp_seconds", "When this was written.", ["relay"], registry=registry)
        open_now = Gauge(
            "fallow_relay_open_connections", "Connections just now.", ["relay"], registry=registry
        )
        self._answers = Counter(
            "fallow_relay_connections", "Connections, by what was answered.", ["relay", "status"], registry=registry
        )  # fmt: skip
        carried = Counter("fallow_relay_bytes", "Bytes carried, both ways.", ["relay"], registry=registry)
        self._relay = relay
        self._at = at.labels(relay)
        self.open = open_now.labels(relay)
        self._carried = carried.labels(relay)

    def answered(self, status: int) -> None:
        """Count an answer to somebody who wants a connection."""
        self._answers.labels(self._relay, str(status)).inc()

    def carried(self, size: int) -> None:
        """Count bytes."""
        self._carried.inc(size)

    def put(self, path: Path | None) -> None:
        """Write the numbers, if it is time; `path` may be another than before, or None."""
        if path != self._path:
            self.clear()
            self._path, self._next = path, 0.0
        if path is not None and time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY_S
            self._at.set_to_current_time()
            put(path, self._registry)

    def clear(self) -> None:
        """Remove what was written: a relay that has ended by itself is no trouble."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()

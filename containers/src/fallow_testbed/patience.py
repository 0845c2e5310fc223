"""Time limits in seconds of an idle machine: on a busy one everything takes longer, and nothing is wrong."""

from __future__ import annotations

import os
import time

_MOST = 4.0


def crowding() -> float:
    """How many processes want each processor, of the last minute: from 1 (idle) to 4 (or more)."""
    return min(max(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0), _MOST)


class Patience:
    """A time limit that the machine's load puts off.

    Args:
        seconds: How long to wait on an idle machine; it is at most four times as long on a busy one.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._seen = time.monotonic()

    def over(self) -> bool:
        """Whether the time is up; to be asked again and again."""
        now = time.monotonic()
        self._left -= (now - self._seen) / crowding()
        self._seen = now
        return self._left <= 0

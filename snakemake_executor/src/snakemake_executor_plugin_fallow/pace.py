"""How many jobs go to the queue in one submission, and when the next one is due."""

from __future__ import annotations

from collections.abc import Callable

BATCH = 1000
_LONGEST_PAUSE_S = 30.0


class Pace:
    """Later while the queue does not answer, fewer at once while it is full.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._not_before = 0.0
        self.size = BATCH
        """How many jobs to submit at once."""

    def due(self) -> bool:
        """Whether it is time to submit."""
        return self._clock() >= self._not_before

    def taken(self) -> None:
        """The queue took what was submitted."""
        self._failures, self._not_before, self.size = 0, 0.0, min(BATCH, 2 * self.size)

    def failed(self) -> None:
        """It did not: the next time is later, and later again."""
        self._failures += 1
        self._not_before = self._clock() + min(2.0**self._failures, _LONGEST_PAUSE_S)

    def full(self, count: int) -> bool:
        """The queue has no room for `count` jobs; whether fewer are worth a try at once."""
        self.size = max(1, count // 2)
        if count == 1:
            self.failed()
        return count > 1

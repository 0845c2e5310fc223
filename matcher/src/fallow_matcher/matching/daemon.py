"""`fallow hub matcher` and `fallow hub campaigns`: one cycle after the other, each by one process at a time."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol

from fallow.errors import FallowError, RefusedError
from fallow.files import private_directory

log = logging.getLogger(__name__)


class Cycle(Protocol):
    """What is run again and again: the matcher, the conductor of campaigns, who heeds the other hub's revocations."""

    def cycle(self) -> object:
        """Act once."""


@contextmanager
def alone(state_dir: Path, *, wait: bool, folder: str = "matching", who: str = "matcher") -> Iterator[None]:
    """Hold the lock of the one process of a kind that acts; the lock ends with it, however that ends.

    Args:
        state_dir: The hub's state directory.
        wait: Whether to wait until another one has ended.
        folder: The folder in it that holds the lock.
        who: What such a process is called.

    Raises:
        RefusedError: Another one acts, and this one shall not wait.
    """
    lock = private_directory(state_dir / folder) / "lock"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise RefusedError(
                    f"Another {who} acts for this hub.", remedy="End it first, or leave the work to it."
                ) from None
            log.warning("another %s acts for this hub; waiting for its end", who)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def run(cycles: Sequence[Cycle], interval_s: float, stop: threading.Event) -> None:
    """Let each act in turn until `stop` is set. One that fails changes nothing that was decided, and tries again."""
    while not stop.is_set():
        for acting in cycles:
            try:
                acting.cycle()
            except FallowError as error:
                log.warning("no decision: %s", error)
            except Exception:
                # A matcher that ends on what it did not expect would leave the queue to its last decision for ever.
                log.exception("no decision")
        stop.wait(interval_s)


def until_signal(stop: threading.Event) -> None:
    """Set `stop` on SIGTERM and SIGINT."""

    def ask(number: int, _: FrameType | None) -> None:
        log.info("ending on signal %d", number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)

"""Signals from the batch system, remembered until the loop looks."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType

from fallow_pilots.node.lifecycle import Asked

MEANINGS = {
    signal.SIGUSR1: Asked.DRAIN,
    signal.SIGTERM: Asked.EVICT,
    signal.SIGINT: Asked.EVICT,
    signal.SIGHUP: Asked.EVICT,
}


class Signals:
    """Collects what was asked of this process; the firmest counts.

    A pipe wakes the loop, so no signal waits for the end of a pause.
    """

    def __init__(self) -> None:
        self.asked = Asked.NOTHING
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def install(self) -> None:
        """Handle the batch system's signals, and be woken when a child ends."""
        for number in MEANINGS:
            signal.signal(number, self._receive)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)

    def wait(self, timeout_s: float) -> None:
        """Sleep until a signal comes, at most `timeout_s`."""
        if select.select([self._reading], [], [], timeout_s)[0]:
            os.read(self._reading, 4096)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.ask(MEANINGS[signal.Signals(number)])

    def ask(self, what: Asked) -> None:
        """Note what was asked; the firmest counts."""
        if what.value > self.asked.value:
            self.asked = what


def restore_signals() -> None:
    """Have a process that was just forked handle signals as any other does, apart from the pilot's."""
    signal.set_wakeup_fd(-1)
    for number in (*MEANINGS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()

"""`fallow hub up --foreground`: the hub's parts as children, where no systemd runs (a container, a testbed)."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType

from fallow_matcher.operation.account import entry
from fallow_matcher.operation.parts import Part, environment
from fallow_matcher.settings import HubSettings

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
"""A part that lived for so long starts anew without a longer pause."""
LOOK_EVERY_S = 0.2
STOP_S = 60.0
"""How long a part may take to end before it is killed."""

Spawn = Callable[[Part], "subprocess.Popen[bytes]"]


def pause_s(failures: int) -> float:
    """How long to wait before a part that ended so many times in a row is started again, in seconds."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** max(0, failures - 1))


@dataclass
class _Child:
    part: Part
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    failures: int = 0
    due: float = 0.0


class Supervisor:
    """Keeps parts running: one that ends is started again, after a pause that grows.

    Args:
        parts: The parts, in the order in which they start; they end in the reverse order.
        spawn: Starts a part.
        clock: Seconds, never going back.
    """

    def __init__(
        self, parts: Sequence[Part], spawn: Spawn, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._children = [_Child(part) for part in parts]
        self._spawn = spawn
        self._clock = clock

    def look(self) -> None:
        """Start what should run and does not."""
        for child in self._children:
            now = self._clock()
            if child.process is not None:
                status = child.process.poll()
                if status is None:
                    continue
                child.failures = 1 if now - child.began >= STEADY_S else child.failures + 1
                child.due = now + pause_s(child.failures)
                child.process = None
                log.warning(
                    "%s ended with %s; it starts again in %.0f s", child.part.name, status, child.due - now
                )
            if now >= child.due:
                child.process, child.began = self._spawn(child.part), now
                log.info("started %s, process %d", child.part.name, child.process.pid)

    def reload(self) -> None:
        """Have those that can read their files again."""
        for child in self._children:
            if child.part.reloads and child.process is not None:
                child.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """End every part, the last one first."""
        for child in reversed(self._children):
            if child.process is None:
                continue
            child.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(STOP_S)
            if child.process.poll() is None:
                log.warning("%s did not end within %.0f s and is killed", child.part.name, STOP_S)
                child.process.kill()
                child.process.wait()
            child.process = None


def run(parts: Sequence[Part], settings: HubSettings) -> None:
    """Run the parts as the hub's account until a signal ends this process; SIGHUP has them read their files again."""
    account = entry(settings.account)
    root = os.geteuid() == 0

    def spawn(part: Part) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            part.argv,
            env=environment(part, settings),
            stdin=subprocess.DEVNULL,
            cwd=settings.state_dir,
            start_new_session=True,
            user=account.pw_uid if root else None,
            group=account.pw_gid if root else None,
            extra_groups=[] if root else None,
        )

    stop, reload = threading.Event(), threading.Event()

    def note(number: int, _: FrameType | None) -> None:
        (reload if number == signal.SIGHUP else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, note)
    supervisor = Supervisor(parts, spawn)
    try:
        while not stop.wait(LOOK_EVERY_S):
            supervisor.look()
            if reload.is_set():
                reload.clear()
                supervisor.reload()
    finally:
        supervisor.stop()

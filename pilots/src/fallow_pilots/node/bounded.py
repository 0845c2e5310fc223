"""Runs checks side by side in processes of their own: none can hang the pilot, whatever it looks at.

A process that waits for a dead file system cannot even be killed, so nobody waits for it: it is left behind.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, NoReturn

from fallow_pilots.node.finding import Finding
from fallow_pilots.node.signals import restore_signals


@dataclass(frozen=True)
class Check:
    """One check and how long it may take.

    Args:
        look: The check itself.
        otherwise: What counts as found when it does not end in time, or fails.
        limit_s: How long it may take.
    """

    look: Callable[[], Finding]
    otherwise: Finding
    limit_s: float = 15.0


@dataclass
class _Running:
    check: Check
    process: int
    pipe: int
    ends: float
    answer: bytes = b""
    finding: Finding | None = None


def gather(checks: Sequence[Check]) -> list[Finding]:
    """The findings, in the order of the checks; takes no longer than the longest limit."""
    running = [_start(check) for check in checks]
    while True:
        waiting = [one for one in running if one.finding is None]
        if not waiting:
            return [one.finding or one.check.otherwise for one in running]
        pause_s = max(0.0, min(one.ends for one in waiting) - time.monotonic())
        readable = select.select([one.pipe for one in waiting], [], [], pause_s)[0]
        for one in waiting:
            if one.pipe in readable:
                _read(one)
            elif time.monotonic() >= one.ends:
                _finish(one, one.check.otherwise)


def _start(check: Check) -> _Running:
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        _look(check, writing)
    os.close(writing)
    return _Running(check, process, reading, time.monotonic() + check.limit_s)


def _look(check: Check, writing: int) -> NoReturn:
    """The child: look, answer, end without any of the parent's clean-up."""
    try:
        restore_signals()
        answer = pickle.dumps(check.look())
        while answer:
            answer = answer[os.write(writing, answer) :]
    finally:
        os._exit(0)


def _read(one: _Running) -> None:
    piece = os.read(one.pipe, 65536)
    one.answer += piece
    if piece:
        return
    try:
        found = pickle.loads(one.answer)  # noqa: S301 - of our own child
    except (pickle.UnpicklingError, EOFError):
        found = one.check.otherwise
    _finish(one, found)


def _finish(one: _Running, finding: Finding) -> None:
    one.finding = finding
    os.close(one.pipe)
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(one.process, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(one.process, os.WNOHANG)

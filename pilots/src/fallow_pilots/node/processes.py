"""Processes below this one: adopted when their parents die, so that none is left behind at the end."""

from __future__ import annotations

import ctypes
import logging
import math
import os
import signal
import time
from pathlib import Path

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies (Linux 3.4 and later)."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the calling process, just forked, end HTCondor's fast way when its parent dies."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def call_itself(name: str) -> None:
    """Have the calling process, just forked, shown by ps(1) as `name`, of 15 letters at most."""
    _prctl(PR_SET_NAME, name.encode("ascii"))


def descendants() -> list[int]:
    """Process ids of everything below this process."""
    table = _table()
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        below = table.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _table() -> dict[int, list[int]]:
    """The children of every process."""
    table: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The name in parentheses may hold anything, so what follows the last one counts.
                parent = int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            table.setdefault(parent, []).append(int(entry.name))
    return table


def children(process: int) -> list[int]:
    """Process ids of the children of a process that has one thread; none when it has ended."""
    try:
        # Not there on kernels without CONFIG_PROC_CHILDREN.
        text = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    except FileNotFoundError:
        return _table().get(process, []) if Path(f"/proc/{process}").exists() else []
    except OSError:
        return []
    return [int(word) for word in text.split()]


def process_age_s(process: int) -> float:
    """Seconds since a process started; without end for one that has ended."""
    try:
        ticks = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
        up_s = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return math.inf
    return up_s - int(ticks) / os.sysconf("SC_CLK_TCK")


def end_all(timeout_s: float) -> bool:
    """Kill every descendant and wait for their ends.

    Returns:
        Whether none is left after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        reap()
        left = descendants()
        if not left:
            return True
        if time.monotonic() >= deadline:
            log.error("processes %s cannot be ended", left)
            return False
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        time.sleep(0.05)


def reap() -> None:
    """Collect the ends of all children, also the adopted."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _prctl(option: int, value: int | bytes) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)

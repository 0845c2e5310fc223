"""The launcher as a process: one per centre, cycle after cycle, until it is asked to end."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Callable

from fallow.errors import FallowError, NotAvailableError, RefusedError

log = logging.getLogger(__name__)

LOOKS = 5


class AlreadyRunningError(RefusedError):
    """Another launcher acts for this centre."""


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the launcher's lock; the kernel releases it however this process ends.

    Raises:
        AlreadyRunningError: Another process holds it, on this host or on one that shares the file system.
        NotAvailableError: The file system has no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            _lock(descriptor)
        except BlockingIOError as error:
            raise AlreadyRunningError(
                f"Another launcher acts for this centre: {_signed(descriptor)}."
            ) from error
        except OSError as error:
            raise NotAvailableError(
                f"Cannot lock {path}: {error.strerror}.", remedy="Move state_dir to a file system with locks."
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> str | None:
    """Which process runs the launcher, on which host; None when none does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _signed(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def _lock(descriptor: int) -> None:
    """Lock, but give way to somebody who only looks whether it is locked."""
    for _ in range(LOOKS):
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(0.02)
    return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _signed(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "unknown"


def repeat(cycle: Callable[[], object], interval_s: float) -> None:
    """Call `cycle` every `interval_s` seconds until SIGTERM or SIGINT; pilots go on when the launcher ends.

    A cycle that fails for a reason that may pass, like a full disk, is logged and the next one tried.
    """
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    while not ended.is_set():
        try:
            cycle()
        except (FallowError, OSError, sqlite3.Error) as error:
            log.error("the cycle failed: %s", error)  # noqa: TRY400 - a sentence for the site admin
        ended.wait(interval_s)

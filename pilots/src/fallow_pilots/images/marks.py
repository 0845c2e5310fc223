"""Marks of use: who uses an image keeps touching a file beside it, and what has a fresh mark is not removed.

Ages are measured by the clock of the store's file system alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

TOUCH_S = 60.0
FRESH_S = 300.0
"""How long a mark counts that nobody touches: its pilot has died."""

_MARK = ".use"
_LAST = ".last"
_CLOCK = ".clock"
_PRESSURE = ".pressure"


class Marks:
    """The marks in one store.

    Args:
        directory: The store.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, digest: str, user: str) -> None:
        """Say that `user`, a pilot's id, uses an image now; also that it was used last now.

        Raises:
            OSError: The store cannot be written.
        """
        for name in (f".{digest}.{user}{_MARK}", f".{digest}{_LAST}"):
            _touch(self._directory / name)

    def drop(self, digest: str, user: str) -> None:
        """Say that `user` no longer uses it."""
        with contextlib.suppress(OSError):  # it grows old by itself
            (self._directory / f".{digest}.{user}{_MARK}").unlink()

    def press(self) -> None:
        """Ask pilots to let go of images that none of their payloads runs in."""
        _touch(self._directory / _PRESSURE)

    def pressed_at(self) -> int:
        """When that was asked last, in nanoseconds of the file system's clock; 0 where it never was."""
        try:
            return (self._directory / _PRESSURE).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def now(self) -> float:
        """The file system's clock."""
        clock = self._directory / _CLOCK
        _touch(clock)
        return clock.stat().st_mtime

    def used(self, digests: Iterable[str]) -> dict[str, tuple[float, bool]]:
        """When each image was used last, and whether it is in use; marks of the dead are removed."""
        now = self.now()
        found = dict.fromkeys(digests, (0.0, False))
        for entry in os.scandir(self._directory):
            digest = entry.name[1:65]
            if not entry.name.startswith(".") or digest not in found:
                continue
            try:
                touched = entry.stat().st_mtime
            except FileNotFoundError:
                continue
            last, in_use = found[digest]
            if entry.name.endswith(_LAST):
                found[digest] = max(last, touched), in_use
            elif entry.name.endswith(_MARK) and now - touched < FRESH_S:
                found[digest] = max(last, touched), True
            elif entry.name.endswith(_MARK):
                Path(entry.path).unlink(missing_ok=True)
        return found

    def forget(self, digest: str) -> None:
        """Remove what is known of an image that is gone."""
        (self._directory / f".{digest}{_LAST}").unlink(missing_ok=True)


def _touch(path: Path) -> None:
    """Set the time of a file to that of the file system, which may be another host's."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.utime(descriptor)
    finally:
        os.close(descriptor)

"""Images that many payloads run in, unpacked on the side: a directory starts in half the time of a file that is mounted."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Callable

from fallow_pilots.node.layout import Layout

log = logging.getLogger(__name__)

MANY = 16
"""From so many payloads on an image is worth its room as a directory: jobs that short will start many more."""
LARGEST_BYTES = 1 << 30
"""Larger images stay files: unpacking one would take long, and much room."""

Unpack = Callable[[Path, str, Path], "subprocess.Popen[bytes]"]


def unpack_beside(image: Path, digest: str, into: Path) -> subprocess.Popen[bytes]:
    """Start to unpack an image, behind whatever else the node has to do."""
    argv = [sys.executable, "-m", "fallow_pilots.node.unpack", str(image), digest, str(into)]
    return subprocess.Popen(["nice", "-n", "19", *argv], stdin=subprocess.DEVNULL)


class OftenUsed:
    """Unpacks the images of many payloads, one at a time, and has further payloads started from the directory.

    What payloads are started from stands in the third line of the mark of a checked image; it changes here only when the
    directory is complete, and in the thread that also takes the mark away.

    Args:
        layout: The pilot's directory.
        unpack: Starts a process that unpacks.
    """

    def __init__(self, layout: Layout, unpack: Unpack = unpack_beside) -> None:
        self._layout = layout
        self._unpack = unpack
        self._payloads: Counter[str] = Counter()
        self._tried: set[str] = set()
        self._running: tuple[str, subprocess.Popen[bytes]] | None = None

    def look(self, started: Iterable[str]) -> None:
        """Count payloads, and act on it.

        Args:
            started: The image of each payload that was started since the last look.
        """
        self._payloads.update(started)
        if self._running is not None:
            digest, process = self._running
            if process.poll() is None:
                return
            self._running = None
            if process.returncode == 0:
                self._start_from_directory(digest)
        for digest, count in self._payloads.items():
            if count >= MANY and digest not in self._tried and (image := self._file(digest)):
                self._tried.add(digest)
                self._running = digest, self._unpack(image, digest, self._layout.unpacked)
                return

    def forget(self, digest: str) -> None:
        """The pilot lets go of an image."""
        del self._payloads[digest]
        self._tried.discard(digest)

    def stop(self) -> None:
        """End what is being unpacked."""
        if self._running is not None:
            self._running[1].terminate()
            self._running[1].wait()
            self._running = None

    def _mark(self, digest: str) -> list[str]:
        try:
            return (self._layout.verified / digest).read_text(encoding="utf-8").splitlines()
        except OSError:
            return []

    def _file(self, digest: str) -> Path | None:
        """The image, where payloads are started from its file and it is not too large."""
        mark = self._mark(digest)
        if len(mark) != 3 or mark[1] != mark[2]:
            return None
        path = Path(mark[1])
        return path if path.is_file() and path.stat().st_size <= LARGEST_BYTES else None

    def _start_from_directory(self, digest: str) -> None:
        mark, directory = self._mark(digest), self._layout.unpacked / digest
        if len(mark) != 3 or not directory.is_dir():
            return
        draft = self._layout.verified / f".{digest}"
        draft.write_text(f"{mark[0]}\n{mark[1]}\n{directory}\n", encoding="utf-8")
        draft.replace(self._layout.verified / digest)
        log.info("image sha256:%s is started from a directory from now on", digest)

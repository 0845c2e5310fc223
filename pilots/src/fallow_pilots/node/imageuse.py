"""Keeps the images that a pilot's payloads run in from being removed from the centre's store, and lets go of the others."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from pathlib import Path
from typing import Callable

from fallow_pilots.images.marks import TOUCH_S, Marks
from fallow_pilots.node.layout import Layout
from fallow_pilots.node.often import OftenUsed
from fallow_pilots.node.trees import remove_tree

log = logging.getLogger(__name__)

LOOK_S = 5.0
IDLE_S = 300.0
"""How long a pilot keeps an image that none of its payloads runs in, unless the room is needed: the next one often does."""
USE = re.compile(r"([0-9a-f]{64})\.use\.([0-9]{1,10})")
"""Name of the file by which fallow-apptainer says that the payload of a starter, a process, runs in an image."""


class ImageUse:
    """Looks after the marks of one pilot in the centre's store, from a thread: the store may hang.

    fallow-apptainer says that it uses an image, then looks whether the pilot has checked it. Here the check is forgotten
    first, then it is looked whether anybody uses the image, and only then the mark is dropped. So whoever has seen the
    check is seen here, and whoever is not sees no check and asks for the image anew.

    Args:
        layout: The pilot's directory.
        store: The centre's image store.
        pilot: The pilot's id.
        often: What is told of each payload that was started.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        layout: Layout,
        store: Path,
        pilot: str,
        often: OftenUsed | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._layout = layout
        self._marks = Marks(store)
        self._pilot = pilot
        self._clock = clock
        self._often = often
        self._seen: set[str] = set()
        self._used_at: dict[str, float] = {}
        self._touched_at = clock()
        self._pressed_at = self._marks.pressed_at()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="images", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """The pilot ends: nothing is in use any more."""
        self._over.set()
        self._thread.join(LOOK_S)
        if self._often is not None:
            self._often.stop()
        for digest in self._checked():
            self._marks.drop(digest, self._pilot)

    def look(self) -> None:
        """Touch the marks now and then; let go of what has not been used for a while."""
        now = self._clock()
        if self._often is not None:
            self._often.look(self._started())
        used, checked = self._in_use(), self._checked()
        pressed_at, self._pressed_at = self._pressed_at, self._marks.pressed_at()
        kept_s = IDLE_S if pressed_at == self._pressed_at else 0
        for digest in checked:
            if digest in used:
                self._used_at[digest] = now
            elif now - self._used_at.setdefault(digest, now) >= kept_s:
                self._let_go(digest)
        if now - self._touched_at >= TOUCH_S:
            self._touched_at = now
            for digest in used | self._checked():
                # A store that can only be read has no marks.
                with contextlib.suppress(OSError):
                    self._marks.put(digest, self._pilot)

    def _let_go(self, digest: str) -> None:
        (self._layout.verified / digest).unlink(missing_ok=True)
        del self._used_at[digest]
        if digest in self._in_use():
            return
        self._marks.drop(digest, self._pilot)
        if self._often is not None:
            self._often.forget(digest)
        directory = self._layout.unpacked / digest
        if directory.is_dir():
            remove_tree(directory)

    def _started(self) -> list[str]:
        """The image of each payload that was started since the last look; those that have ended are among them."""
        uses = {entry.name for entry in self._layout.requests.iterdir() if USE.fullmatch(entry.name)}
        new, self._seen = uses - self._seen, uses
        return [name.partition(".")[0] for name in new]

    def _in_use(self) -> set[str]:
        """The images of payloads that run; what ended payloads left is removed."""
        found = set()
        for entry in self._layout.requests.iterdir():
            if use := USE.fullmatch(entry.name):
                if Path("/proc", use[2]).exists():
                    found.add(use[1])
                else:
                    entry.unlink(missing_ok=True)
        return found

    def _checked(self) -> set[str]:
        return {entry.name for entry in self._layout.verified.iterdir() if not entry.name.startswith(".")}

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            try:
                self.look()
            except OSError:
                log.exception("the marks of images in use could not be kept")

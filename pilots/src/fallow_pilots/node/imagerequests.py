"""Images that payloads wait for: their launchers leave a file each, the pilot fetches and takes the file away."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

from fallow_pilots.node.imageuse import USE
from fallow_pilots.node.layout import Layout
from fallow_pilots.node.way import Way

log = logging.getLogger(__name__)

MOST_AT_ONCE = 4
NO_SUCH_IMAGE = 9
"""Exit status of a fetch when the hub does not have the image, or the job named the wrong registry."""
ABSENT = "absent\n"
"""Mark of such an image; fallow-apptainer knows it."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SOURCE = ".from"
"""Ends the name of the file, written before the request, that says where the image is said to lie."""


class ImageRequests:
    """Runs one process for each image that is asked for.

    A request that vanishes without a mark of the image tells the launcher that it could not be had.

    Args:
        layout: The pilot's directory.
        spec_path: The pilot's specification.
        way: How the processes reach the hub.
    """

    def __init__(self, layout: Layout, spec_path: Path, way: Way) -> None:
        self._layout = layout
        self._spec_path = spec_path
        self._way = way
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def look(self) -> None:
        """Answer what has been fetched, start what has been asked for."""
        for digest, process in list(self._running.items()):
            if process.poll() is not None:
                del self._running[digest]
                if process.returncode == NO_SUCH_IMAGE:
                    # No other pilot would get it either: the job must not go round the pilots for ever.
                    (self._layout.verified / digest).write_text(ABSENT, encoding="ascii")
                self._source(digest).unlink(missing_ok=True)
                (self._layout.requests / digest).unlink(missing_ok=True)
        for request in self._layout.requests.iterdir():
            if request.name in self._running or len(self._running) >= MOST_AT_ONCE:
                continue
            if _DIGEST.fullmatch(request.name):
                self._running[request.name] = self._fetch(request.name)
            elif not (_DIGEST.fullmatch(request.name.removesuffix(_SOURCE)) or USE.fullmatch(request.name)):
                log.warning("a request for an image has no digest for a name and is dropped")
                request.unlink(missing_ok=True)

    def _source(self, digest: str) -> Path:
        return self._layout.requests / f"{digest}{_SOURCE}"

    def _fetch(self, digest: str) -> subprocess.Popen[bytes]:
        log.info("image sha256:%s is asked for", digest)
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "fallow_pilots.node.fetch",
                self._spec_path,
                self._layout.verified,
                digest,
                self._source(digest),
            ],
            stdin=subprocess.DEVNULL,
            preexec_fn=self._way.enter,  # noqa: PLW1509 - this process has one thread
        )

"""Files that payloads wait for, or leave behind: their launchers leave a request each, one process answers them.

That process lives outside of the jail, where the network, the pilot's token and the centre's cache are; the payload and
its starter see none of them.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

from fallow_pilots.node.layout import Layout
from fallow_pilots.node.way import Way

log = logging.getLogger(__name__)

CACHE = "inputs"
"""Folder of the centre's image store with inputs that many jobs share; payloads and their starters do not see it."""


class StageRequests:
    """Has the stager run while there is something to stage; it ends by itself when there was nothing for a while.

    Args:
        layout: The pilot's directory.
        spec_path: The pilot's specification.
        way: How the processes reach the hub.
    """

    def __init__(self, layout: Layout, spec_path: Path, way: Way) -> None:
        self._layout = layout
        self._spec_path = spec_path
        self._way = way
        self._stager: subprocess.Popen[bytes] | None = None

    def look(self) -> None:
        """Start the stager if somebody waits for it."""
        if self._stager is not None and self._stager.poll() is None:
            return
        if self._stager is not None and self._stager.returncode:
            log.error("the stager ended with %d", self._stager.returncode)
        self._stager = None
        if any(self._layout.staging.glob("*.wanted")):
            self._stager = subprocess.Popen(
                [sys.executable, "-m", "fallow_pilots.node.stager", self._spec_path, self._layout.root],
                stdin=subprocess.DEVNULL,
                preexec_fn=self._way.enter,  # noqa: PLW1509 - this process has one thread
            )

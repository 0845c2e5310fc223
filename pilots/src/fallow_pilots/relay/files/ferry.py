"""The node's side: keeps a link to the relay, and makes connections over it."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

from fallow_pilots.relay.files import directory
from fallow_pilots.relay.files.link import Link
from fallow_pilots.relay.files.streams import Streams
from fallow_pilots.relay.limits import within
from fallow_pilots.relay.pump import begin

log = logging.getLogger(__name__)

AGAIN_S = 1.0


class Ferry:
    """One pilot's link, and another one when it has broken.

    Args:
        root: The directory of all links.
        pilot: The pilot's id.
    """

    def __init__(self, root: Path, pilot: str) -> None:
        self._root = root
        self._pilot = pilot
        self._up = asyncio.Event()
        self._streams = Streams()

    async def keep(self) -> None:
        """Keep a link for ever."""
        while True:
            try:
                await self._link()
            except OSError as error:
                log.warning("the link to the relay ends: %s", error)
            await asyncio.sleep(AGAIN_S)

    async def dial(self, limit_s: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the relay.

        Raises:
            asyncio.TimeoutError: No relay answers.
        """
        await within(self._up.wait(), limit_s)
        return self._streams.dial()

    async def _link(self) -> None:
        spool = await asyncio.to_thread(directory.make, self._root, self._pilot)
        self._streams = Streams()
        link = Link(spool, self._streams)
        running = asyncio.ensure_future(link.run())
        answered = asyncio.ensure_future(link.answered.wait())
        try:
            await asyncio.wait({running, answered}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                log.info("link %s is up", spool.directory.name)
                self._up.set()
            await running
        finally:
            self._up.clear()
            for task in (running, answered):
                task.cancel()
            self._streams.lose()
            await asyncio.to_thread(shutil.rmtree, spool.directory, ignore_errors=True)


class Ferries:
    """A pilot's links, one in each directory that its terms have named; each is begun when it is wanted.

    Args:
        pilot: The pilot's id.
    """

    def __init__(self, pilot: str) -> None:
        self._pilot = pilot
        self._known: dict[Path, Ferry] = {}

    def at(self, root: Path) -> Ferry:
        """The link in a directory."""
        if root not in self._known:
            self._known[root] = Ferry(root, self._pilot)
            begin(self._known[root].keep())
        return self._known[root]

"""The relay's side: takes the connections of all nodes that leave files below a directory."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

from fallow.files import private_directory
from fallow_pilots.relay.files import directory
from fallow_pilots.relay.files.link import Link
from fallow_pilots.relay.files.spool import Spool
from fallow_pilots.relay.files.streams import Streams
from fallow_pilots.relay.pump import Take

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often new links are looked for."""


class Desk:
    """Serves while it is entered, as a server of asyncio's does.

    Args:
        root: The directory.
        take: Serves one connection.
    """

    def __init__(self, root: Path, take: Take) -> None:
        self._root = root
        self._take = take
        self._links: dict[Path, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Desk:
        """Begin; links of an earlier relay are ended, so that their nodes make new ones.

        Raises:
            OSError: The directory cannot be used.
        """
        private_directory(self._root)
        await asyncio.to_thread(directory.clear, self._root)
        self._looking = asyncio.ensure_future(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all links."""
        tasks = [task for task in (self._looking, *self._links.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(directory.clear, self._root)

    async def _look(self) -> None:
        while True:
            try:
                for spool in await asyncio.to_thread(directory.found, self._root, frozenset(self._links)):
                    self._links[spool.directory] = asyncio.ensure_future(self._serve(spool))
            except OSError as error:
                log.warning("%s cannot be looked at: %s", self._root, error)
            await asyncio.sleep(LOOK_S)

    async def _serve(self, spool: Spool) -> None:
        log.info("link %s begins", spool.directory.name)
        streams = Streams(self._take)
        try:
            await Link(spool, streams).run()
        except OSError as error:
            log.info("link %s ends: %s", spool.directory.name, error)
        finally:
            streams.lose()
            await asyncio.to_thread(shutil.rmtree, spool.directory, ignore_errors=True)
            self._links.pop(spool.directory, None)

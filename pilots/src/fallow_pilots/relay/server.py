"""The relay: takes connections of the centre's nodes, and makes those that its terms allow."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

from fallow.errors import FallowError
from fallow_pilots.relay import connect
from fallow_pilots.relay.files.desk import Desk
from fallow_pilots.relay.limits import within
from fallow_pilots.relay.numbers import Numbers
from fallow_pilots.relay.pump import dial, listen, pump
from fallow_pilots.relay.reach import reach_by
from fallow_pilots.relay.terms import Target, Terms, read_terms

log = logging.getLogger(__name__)

MOST = 4096
"""Connections at a time."""
HEAD_S = 10.0
REACH_S = 20.0
LOOK_S = 2.0
LEASE_S = 900.0
"""How long a relay without connections outlives the last cycle of its launcher."""


class Relay:
    """Serves by the terms in a file, which it reads again when they change.

    It sees ciphertext only: TLS and HTCondor's encryption are between node and hub.

    Args:
        path: The terms.
        lease_s: How long it stays without connections and without a launcher.
    """

    def __init__(self, path: Path, lease_s: float = LEASE_S) -> None:
        self._path = path
        self._lease_s = lease_s
        self._terms: Terms | None = None
        self._read_at: float | None = None
        self._fresh = time.monotonic()
        self._open = 0
        self._numbers = Numbers(str(path))

    async def serve(self) -> None:
        """Serve until the terms name another place, or nobody needs the relay any more.

        Raises:
            OSError: The place to listen is taken, or is none of this host's.
        """
        self._look()
        terms = self._terms
        if terms is None:
            return
        async with await self._door(terms):
            while self._stays(terms):
                self._numbers.put(self._terms.metrics if self._terms else None)
                await asyncio.sleep(LOOK_S)
                self._look()
        self._numbers.clear()
        log.info("the relay ends")

    async def _door(self, terms: Terms) -> AbstractAsyncContextManager[object]:
        """Where connections come in."""
        if terms.files is not None:
            log.info("the relay takes what nodes leave in %s", terms.files)
            return Desk(terms.files, self._take)
        server = await listen(self._take, host=terms.host, port=terms.port)
        log.info("the relay listens at %s:%d", terms.host, terms.port)
        return server

    def _stays(self, began: Terms) -> bool:
        now = self._terms
        if now is None or (now.host, now.port, now.files) != (began.host, began.port, began.files):
            return False
        return self._open > 0 or time.monotonic() - self._fresh < self._lease_s

    def _look(self) -> None:
        """Read the terms if they have changed; trouble with the file leaves the last ones in force."""
        try:
            changed_at = self._path.stat().st_mtime
            if changed_at != self._read_at:
                self._terms, self._read_at = read_terms(self._path), changed_at
                self._fresh = time.monotonic()
        except FileNotFoundError:
            self._terms = None
        except (OSError, FallowError) as error:
            log.warning("terms: %s", error)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        self._numbers.open.set(self._open)
        try:
            await self._relay(reader, writer)
        except (
            OSError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            asyncio.TimeoutError,
        ) as error:
            log.debug("a connection ended before it was made: %s", type(error).__name__)
        finally:
            self._open -= 1
            self._numbers.open.set(self._open)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        terms = self._terms
        head = await within(reader.readuntil(connect.END), HEAD_S)
        if terms is None or terms.key is None or self._open > MOST:
            await self._say(writer, connect.FULL)
            return
        known = {target.authority: target for target in terms.targets}
        wanted, answer = connect.judge(head, terms.key, known, time.time())
        if answer is not connect.CONNECTED:
            log.warning("refused (%s): %.100r", answer.words, wanted)
            await self._say(writer, answer)
            return
        try:
            onward = await _onward(known[wanted], terms.upstream)
        except (OSError, FallowError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
            log.warning("%s cannot be reached: %s", wanted, error or "it does not answer")
            await self._say(writer, connect.UNREACHED)
            return
        await self._say(writer, answer)
        await pump((reader, writer), onward, self._numbers.carried)

    async def _say(self, writer: asyncio.StreamWriter, answer: connect.Answer) -> None:
        self._numbers.answered(answer.status)
        writer.write(answer.encoded())
        with suppress(OSError):
            await writer.drain()
        if answer is not connect.CONNECTED:
            with suppress(OSError):
                writer.close()
                await writer.wait_closed()


async def _onward(target: Target, upstream: Path | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to `target`: by itself, or by whoever the terms at `upstream` name."""
    if upstream is None:
        return await dial(target.host, target.port, REACH_S)
    return await reach_by(upstream, target.authority, REACH_S)

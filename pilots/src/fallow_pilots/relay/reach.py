"""A connection to a place of the hub's by whoever the terms name: a relay, a site's proxy, an attached machine."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Callable

from fallow_pilots.relay import connect
from fallow_pilots.relay.limits import within
from fallow_pilots.relay.pump import dial
from fallow_pilots.relay.terms import Target, Terms, read_terms

REACH_S = 30.0
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
By = Callable[[Terms, float], Awaitable[Connection]]
"""Makes a connection to whoever some terms name, each step within so many seconds."""
REFUSALS = range(400, 500)
"""What a proxy answers that will not; one that cannot answers 5xx."""


class NoWayError(OSError):
    """The other side makes no connection.

    Args:
        by: Who was asked, `host:port`.
        target: Where to, `host:port`.
        status: HTTP's, 0 where the answer is none.
        words: What was answered.
    """

    def __init__(self, by: str, target: str, status: int, words: str) -> None:
        super().__init__(f"{by} makes no connection to {target}: {words or 'its answer makes no sense'}")
        self.target = target
        self.status = status
        self.words = words

    @property
    def refused(self) -> bool:
        """Whether the other side could, but will not."""
        return self.status in REFUSALS


async def by_network(terms: Terms, limit_s: float) -> Connection:
    """A connection to whoever the terms name.

    Raises:
        OSError: He cannot be reached.
        asyncio.TimeoutError: He does not answer in time.
    """
    return await dial(terms.host, terms.port, limit_s)


async def reach(terms: Terms, target: str, limit_s: float = REACH_S, by: By = by_network) -> Connection:
    """A connection to `target`, `host:port`.

    Args:
        terms: Who makes it.
        target: Where to.
        limit_s: How long each step may take.
        by: How to reach whoever makes it.

    Raises:
        NoWayError: Whoever was asked makes none.
        OSError: He cannot be reached himself.
        asyncio.TimeoutError: He does not answer in time.
    """
    reader, writer = await by(terms, limit_s)
    try:
        writer.write(terms.request(target, time.time()))
        head = await within(reader.readuntil(connect.END), limit_s)
        _require(terms, target, head)
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


def _require(terms: Terms, target: str, head: bytes) -> None:
    status = connect.status_of(head)
    if status != connect.CONNECTED.status:
        raise NoWayError(terms.authority, target, status, connect.words_of(head))


async def reach_by(path: Path, target: str, limit_s: float = REACH_S, by: By = by_network) -> Connection:
    """The same by the terms that lie at `path` now: whoever they name may move.

    Raises:
        SettingsError: The file is open to others.
    """
    terms = read_terms(path)
    if terms is None:
        raise OSError(f"there are no terms at {path}")
    return await reach(terms, target, limit_s, by)


def reach_now(terms: Terms, target: str, limit_s: float) -> socket.socket:
    """The same, for code that waits for it; the other side must not speak first, as is so with TLS.

    Raises:
        OSError: There is no way, or none in time.
    """

    async def made() -> socket.socket:
        _, writer = await reach(terms, target, limit_s)
        try:
            found: socket.socket = writer.get_extra_info("socket").dup()
        finally:
            writer.transport.abort()
        return found

    try:
        connection = asyncio.run(made())
    except (asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise OSError(f"{terms.authority} does not answer") from error
    connection.settimeout(limit_s)
    return connection


def refusals(terms: Terms, targets: Sequence[Target], limit_s: float = REACH_S) -> list[NoWayError]:
    """Which of `targets` the other side will not lead to; one that cannot be reached just now is no refusal.

    Raises:
        OSError: The other side cannot be reached itself.
    """
    found = []
    for target in targets:
        try:
            reach_now(terms, target.authority, limit_s).close()
        except NoWayError as error:
            if error.refused:
                found.append(error)
    return found

"""Takes connections, and carries bytes between two of them until both sides have said all, or one is gone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Callable

from fallow_pilots.relay.limits import within

CHUNK_BYTES = 256 << 10
KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 8))
"""A peer that vanished without a word is noticed after three minutes: a cut of two is survived."""


FLUSH_S = 60.0
"""How long a peer may take for the last bytes when both sides have said all."""

Take = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
"""Serves one connection."""

_held: set[asyncio.Task[None]] = set()


def begin(work: Coroutine[Any, Any, None]) -> None:
    """Have a coroutine run as a task that is held here until it ends.

    The event loop holds tasks, and streams their readers, by weak references only: one that waits could be collected.
    """
    task = asyncio.ensure_future(work)
    _held.add(task)
    task.add_done_callback(_held.discard)


async def listen(take: Take, **where: Any) -> asyncio.AbstractServer:
    """Have `take` serve each connection.

    Args:
        take: Serves one connection.
        **where: As of `asyncio.start_server`.
    """

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begin(take(reader, writer))

    return await asyncio.start_server(serve, backlog=256, limit=CHUNK_BYTES, **where)


async def dial(host: str, port: int, limit_s: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection.

    Raises:
        OSError: The other side cannot be reached.
        asyncio.TimeoutError: It does not answer in time.
    """
    return await within(asyncio.open_connection(host, port, limit=CHUNK_BYTES), limit_s)


async def pump(
    one: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    other: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    carried: Callable[[int], None] = lambda _: None,
) -> None:
    """Carry bytes both ways; an end of one direction is passed on, a failure ends both.

    Args:
        one: One side.
        other: The other side.
        carried: Is told the size of each piece.
    """
    for side in (one, other):
        _keep_alive(side[1].get_extra_info("socket"))
    ways = ((one[0], other[1]), (other[0], one[1]))
    tasks = [asyncio.ensure_future(_carry(reader, writer, carried)) for reader, writer in ways]
    try:
        await asyncio.gather(*tasks)
        for _, writer in (one, other):
            writer.close()
            await within(writer.wait_closed(), FLUSH_S)
    except (OSError, asyncio.TimeoutError):
        pass  # the other side learns of it below
    finally:
        for task in tasks:
            task.cancel()
        for _, writer in (one, other):
            writer.transport.abort()


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, carried: Callable[[int], None]
) -> None:
    while piece := await reader.read(CHUNK_BYTES):
        carried(len(piece))
        writer.write(piece)
        await writer.drain()
    with suppress(OSError):  # it may have gone first
        writer.write_eof()


def _keep_alive(connection: socket.socket | None) -> None:
    if connection is None:
        return  # it goes by files, which have heartbeats of their own
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in KEEPALIVE:
        connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

"""Takes connections, and carries bytes between two of them until both sides have said all, or one is gone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Callable

CHUNK_BYTES = 256 << 10
KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 8))
"""A peer that vanished without a word is noticed after three minutes: a cut of two is survived."""


_held: set[asyncio.Task[None]] = set()


async def listen(
    take: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]], **where: Any
) -> asyncio.AbstractServer:
    """Have `take` serve each connection; its task is held here until it ends.

    The event loop holds tasks, and streams their readers, by weak references only: one that waits could be collected.

    Args:
        take: Serves one connection.
        **where: As of `asyncio.start_server`.
    """

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(take(reader, writer))
        _held.add(task)
        task.add_done_callback(_held.discard)

    return await asyncio.start_server(begin, backlog=256, limit=CHUNK_BYTES, **where)


async def dial(host: str, port: int, limit_s: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection.

    Raises:
        OSError: The other side cannot be reached.
        asyncio.TimeoutError: It does not answer in time.
    """
    return await asyncio.wait_for(asyncio.open_connection(host, port, limit=CHUNK_BYTES), limit_s)


async def pump(
    one: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    other: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Carry bytes both ways; an end of one direction is passed on, a failure ends both."""
    for side in (one, other):
        _keep_alive(side[1].get_extra_info("socket"))
    tasks = [asyncio.ensure_future(_carry(one[0], other[1])), asyncio.ensure_future(_carry(other[0], one[1]))]
    try:
        await asyncio.gather(*tasks)
    except OSError:
        pass  # the other side learns of it below
    finally:
        for task in tasks:
            task.cancel()
        for _, writer in (one, other):
            writer.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(CHUNK_BYTES):
        writer.write(piece)
        await writer.drain()
    with suppress(OSError):  # it may have gone first
        writer.write_eof()


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in KEEPALIVE:
        connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

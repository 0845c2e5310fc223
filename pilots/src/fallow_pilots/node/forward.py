"""Carries what is dialled inside the pilot's network to relay or proxy: a process of its own on the node."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fallow.errors import FallowError
from fallow_pilots.relay.files.ferry import Ferries
from fallow_pilots.relay.pump import listen, pump
from fallow_pilots.relay.reach import Connection, by_network, reach_by
from fallow_pilots.relay.terms import Terms

log = logging.getLogger(__name__)


async def forward(listening: Sequence[tuple[socket.socket, str]], terms: Path, pilot: str) -> None:
    """Serve until the process is asked to end, or its parent dies.

    Args:
        listening: Sockets, made inside the pilot's network, each with the target that it stands for, `host:port`.
        terms: Where the terms of relay or proxy lie; read for each connection, so that it may move.
        pilot: The pilot's id.
    """
    ferries = Ferries(pilot)

    async def by(now: Terms, limit_s: float) -> Connection:
        if now.files is not None:
            return await ferries.at(now.files).dial(limit_s)
        return await by_network(now, limit_s)

    async def serve(own: socket.socket, target: str) -> None:
        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await pump((reader, writer), await reach_by(terms, target, by=by))
            except (OSError, FallowError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
                log.warning("no way to %s: %s", target, error or type(error).__name__)
            finally:
                writer.transport.abort()

        server = await listen(take, sock=own)
        async with server:
            await server.serve_forever()

    serving = asyncio.gather(*(serve(own, target) for own, target in listening))
    for number in (signal.SIGTERM, signal.SIGQUIT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    with suppress(asyncio.CancelledError):
        await serving

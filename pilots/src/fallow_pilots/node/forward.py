"""Carries what comes to the hub's addresses inside the pilot's network to the relay: a process of its own on the node."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from fallow.errors import FallowError
from fallow_pilots.relay import connect
from fallow_pilots.relay.pump import dial, listen, pump
from fallow_pilots.relay.terms import read_terms

log = logging.getLogger(__name__)

REACH_S = 30.0


async def forward(listening: Sequence[tuple[socket.socket, str]], terms: Path) -> None:
    """Serve for ever.

    Args:
        listening: Sockets, made inside the pilot's network, each with the target that it stands for, `host:port`.
        terms: Where the relay's terms lie; read for each connection, so that the relay may move.
    """

    async def serve(own: socket.socket, target: str) -> None:
        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await pump((reader, writer), await _reach(terms, target))
            except (OSError, FallowError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
                log.warning("no way to %s: %s", target, error or type(error).__name__)
            finally:
                writer.transport.abort()

        server = await listen(take, sock=own)
        async with server:
            await server.serve_forever()

    await asyncio.gather(*(serve(own, target) for own, target in listening))


async def _reach(path: Path, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to `target` through the relay.

    Raises:
        OSError: The relay cannot be reached, or does not lead there.
    """
    terms = read_terms(path)
    if terms is None:
        raise OSError(f"there are no terms of a relay at {path}")
    reader, writer = await dial(terms.host, terms.port, REACH_S)
    try:
        writer.write(connect.request(target, terms.key, time.time()))
        head = await asyncio.wait_for(reader.readuntil(connect.END), REACH_S)
        _require(head)
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


def _require(head: bytes) -> None:
    if connect.status_of(head) != connect.CONNECTED.status:
        raise OSError(f"the relay says {head.decode('ascii', 'replace').strip()}")

"""The page by server-sent events: each section that has changed since it was sent last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from fastapi.responses import StreamingResponse

from fallow_matcher.board import words
from fallow_matcher.board.keeper import Board, Keeper, View
from fallow_matcher.board.route import PRIVATE
from fallow_matcher.gateway.errors import GatewayError

MOST_STREAMS = 64
"""Streams at once: each holds a connection, and the gateway has others to serve."""
LOOK_S = 1.0
OWN_LOOK_S = 10.0
"""One's own work is looked up in the queue for each reader, so more seldom."""
LIFE_S = 600
"""How long a stream lasts; a browser opens the next one by itself."""
QUIET_S = 15
"""After so long without a word a comment is sent, so that nobody between closes the connection."""


def streaming(streams: asyncio.Semaphore, told: AsyncIterator[str]) -> StreamingResponse:
    """The answer that sends events as they come.

    Args:
        streams: Taken by each stream.
        told: The events.

    Raises:
        GatewayError: There are too many streams.
    """
    if streams.locked():
        raise GatewayError(
            503, "temporarily_unavailable", "Too many people look on just now; the page itself works."
        )

    async def bounded() -> AsyncIterator[str]:
        async with streams:
            async for each in told:
                yield each

    return StreamingResponse(bounded(), media_type="text/event-stream", headers=PRIVATE)


async def events(keeper: Keeper, view: Callable[[Board], View]) -> AsyncIterator[str]:
    """The events of one stream.

    Args:
        keeper: Has the page.
        view: Which view of it the reader may have.
    """
    sent: dict[str, str] = {}
    version, spoke = 0, time.monotonic()
    ends = spoke + LIFE_S
    while not keeper.closing and time.monotonic() < ends:
        board = keeper.now
        if board.version != version:
            version, spoke = board.version, time.monotonic()
            for name, section in view(board).sections.items():
                if sent.get(name) != section:
                    sent[name] = section
                    yield event("section", f"{name}\n{section}")
            yield event("at", words.moment(board.figures.at))
        elif time.monotonic() - spoke >= QUIET_S:
            spoke = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_S)


async def changes(keeper: Keeper, look: Callable[[], str | None]) -> AsyncIterator[str]:
    """Says at first, and whenever `look` gives something else than before, that there is something new.

    Args:
        keeper: Knows when the gateway closes.
        look: What stands for all that may change; None when the reader may look on no longer. It may block.
    """
    known = ""
    ends = time.monotonic() + LIFE_S
    while not keeper.closing and time.monotonic() < ends:
        found = await asyncio.to_thread(look)
        if found is None:
            return
        yield CHANGED if found != known else ": still here\n\n"
        known = found
        await asyncio.sleep(OWN_LOOK_S)


def event(kind: str, text: str) -> str:
    """One event; every line of the text is data, so that no text can begin another event."""
    data = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"event: {kind}\n{data}\n"


CHANGED = event("changed", "look again")
"""Browsers drop an event without data."""

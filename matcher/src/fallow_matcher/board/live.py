"""The page by server-sent events: each section that has changed since it was sent last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from fallow_matcher.board import words
from fallow_matcher.board.keeper import Board, Keeper, View

MOST_STREAMS = 64
"""Streams at once: each holds a connection, and the gateway has others to serve."""
LOOK_S = 1.0
LIFE_S = 600
"""How long a stream lasts; a browser opens the next one by itself."""
QUIET_S = 15
"""After so long without a word a comment is sent, so that nobody between closes the connection."""


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


def event(kind: str, text: str) -> str:
    """One event; every line of the text is data, so that no text can begin another event."""
    data = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"event: {kind}\n{data}\n"

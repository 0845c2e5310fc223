"""The connections of one link, whatever carries its frames."""

from __future__ import annotations

import asyncio

from fallow_pilots.relay.files.frames import Frame, Kind, LinkBrokenError
from fallow_pilots.relay.files.stream import Stream
from fallow_pilots.relay.pump import CHUNK_BYTES, Take, begin

MOST = 4096
"""Connections at a time."""


class Streams:
    """All connections between two sides, of which one dials and the other takes.

    Args:
        take: Serves a connection that the other side dials; None on the side that dials.
    """

    def __init__(self, take: Take | None = None) -> None:
        self.waiting = asyncio.Event()
        """Set while there is something to say."""
        self._take = take
        self._known: dict[int, Stream] = {}
        self._ready: dict[int, Stream] = {}
        self._last = 0

    def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new connection."""
        self._last += 1
        stream = self._begin(self._last, dialled=True)
        self._say(stream)
        return stream.reader, stream.writer

    def hear(self, frame: Frame) -> None:
        """What the other side says; what it says of a connection that is over does not matter.

        Raises:
            LinkBrokenError: It makes no sense.
        """
        if frame.kind is Kind.OPEN:
            if self._take is None or frame.number <= self._last or len(self._known) >= MOST:
                raise LinkBrokenError("the other side opens a connection that it may not open")
            self._last = frame.number
            stream = self._begin(frame.number, dialled=False)
            begin(self._take(stream.reader, stream.writer))
        elif frame.number in self._known:
            stream = self._known[frame.number]
            stream.take(frame)
            self._drop(stream)

    def say(self, most_bytes: int) -> list[Frame]:
        """What there is to say, with at most so many bytes of connections; each gets its turn."""
        said: list[Frame] = []
        while most_bytes > 0 and self._ready:
            number = next(iter(self._ready))
            stream = self._ready.pop(number)
            frames, more = stream.say(min(most_bytes, CHUNK_BYTES))
            said += frames
            most_bytes -= sum(len(frame.body) for frame in frames)
            if more:
                self._ready[number] = stream
            self._drop(stream)
        if not self._ready:
            self.waiting.clear()
        return said

    def lose(self) -> None:
        """The link is gone, and all connections with it."""
        for stream in list(self._known.values()):
            stream.lose(ConnectionResetError("the link to the other side is gone"))
        self._known.clear()
        self._ready.clear()

    def _begin(self, number: int, *, dialled: bool) -> Stream:
        stream = self._known[number] = Stream(number, self._say, dialled=dialled)
        return stream

    def _say(self, stream: Stream) -> None:
        """Have a connection say what it has to, when it is its turn."""
        self._ready[stream.number] = stream
        self.waiting.set()

    def _drop(self, stream: Stream) -> None:
        if stream.over:
            self._known.pop(stream.number, None)

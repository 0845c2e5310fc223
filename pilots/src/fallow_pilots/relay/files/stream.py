"""One connection of a link, as asyncio knows connections: bytes wait until the other side has granted room for them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Callable

from fallow_pilots.relay.files.frames import MOST_BODY_BYTES, Frame, Kind, LinkBrokenError
from fallow_pilots.relay.pump import CHUNK_BYTES

GRANTED_BYTES = 2 << 20
"""What one side may have sent that the other has not passed on: the link is slow to answer, so it is much."""
HIGH_BYTES, LOW_BYTES = 1 << 20, 256 << 10
"""How much may wait here before who writes has to wait, and when he may go on."""


class Stream(asyncio.Transport):
    """One end of a connection; `reader` and `writer` are for who uses it.

    Args:
        number: The connection's, on this link.
        ready: Is called when there is something to say.
        dialled: Whether this side begins the connection.
    """

    def __init__(self, number: int, ready: Callable[[Stream], None], *, dialled: bool) -> None:
        super().__init__()
        self.number = number
        self._ready = ready
        self._first = [Frame(Kind.OPEN, number)] if dialled else []
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._leave_bytes = GRANTED_BYTES  # to send
        self._granted_bytes = GRANTED_BYTES  # to the other side
        self._passed_bytes = 0  # which the other side may send again
        self._reading = True
        self._writing = True
        self._ending = self._closing = self._ended = self._heard_end = False
        self.over = False
        loop = asyncio.get_running_loop()
        self.reader = asyncio.StreamReader(limit=CHUNK_BYTES, loop=loop)
        self._protocol = asyncio.StreamReaderProtocol(self.reader, loop=loop)
        self._protocol.connection_made(self)
        self.writer = asyncio.StreamWriter(self, self._protocol, self.reader, loop)

    # What the link calls.

    def take(self, frame: Frame) -> None:
        """What the other side says.

        Raises:
            LinkBrokenError: It sends more than it may.
        """
        if self.over:
            return  # it does not know that yet
        if frame.kind is Kind.DATA:
            self._granted_bytes -= len(frame.body)
            if self._granted_bytes < 0 or self._heard_end:
                raise LinkBrokenError("the other side sends more than it may")
            self._passed_bytes += len(frame.body)
            self._protocol.data_received(frame.body)
            self._grant()
        elif frame.kind is Kind.GRANT:
            self._leave_bytes += frame.granted_bytes
            self._ready(self)
        elif frame.kind is Kind.END and not self._heard_end:
            self._heard_end = True
            self._protocol.eof_received()
            self._close_if_done()
        elif frame.kind is Kind.CUT:
            self.lose(
                None if self._heard_end else ConnectionResetError("the other side has cut the connection")
            )

    def say(self, most_bytes: int) -> tuple[list[Frame], bool]:
        """What there is to say, with at most so many bytes; and whether there is more."""
        said, self._first = self._first, []
        if self._owes_grant:
            said.append(Frame.grant(self.number, self._passed_bytes))
            self._granted_bytes += self._passed_bytes
            self._passed_bytes = 0
        while self._waiting and (room := min(most_bytes, self._leave_bytes, MOST_BODY_BYTES)) > 0:
            piece = self._waiting.popleft()
            if len(piece) > room:
                self._waiting.appendleft(piece[room:])
                piece = piece[:room]
            said.append(Frame(Kind.DATA, self.number, piece))
            self._waiting_bytes -= len(piece)
            self._leave_bytes -= len(piece)
            most_bytes -= len(piece)
        if not self._writing and self._waiting_bytes <= LOW_BYTES:
            self._writing = True
            self._protocol.resume_writing()
        if self._ending and not self._waiting and not self.over:
            said += self._say_end()
        return said, bool(self._waiting) and self._leave_bytes > 0

    def lose(self, error: Exception | None) -> None:
        """The connection is over; nothing more is said of it but what is said first."""
        if self.over:
            return
        self.over = True
        self._waiting.clear()
        self._waiting_bytes = 0
        self._protocol.connection_lost(error)

    # What asyncio calls, see asyncio.Transport.

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Have bytes sent."""
        if self.over or self._ending or not data:
            return
        self._waiting.append(bytes(data))
        self._waiting_bytes += len(data)
        if self._writing and self._waiting_bytes > HIGH_BYTES:
            self._writing = False
            self._protocol.pause_writing()
        self._ready(self)

    def can_write_eof(self) -> bool:
        """Yes."""
        return True

    def write_eof(self) -> None:
        """No more bytes are sent; others still come."""
        self._ending = True
        self._ready(self)

    def close(self) -> None:
        """End the connection when all is sent."""
        self._closing = True
        self.write_eof()

    def abort(self) -> None:
        """End the connection now."""
        if not self.over:
            self._first.append(Frame(Kind.CUT, self.number))
            self.lose(None)
            self._ready(self)

    def is_closing(self) -> bool:
        """Whether it is over or about to be."""
        return self.over or self._ending

    def pause_reading(self) -> None:
        """Grant nothing more: what came is not wanted yet."""
        self._reading = False

    def resume_reading(self) -> None:
        """What came was used."""
        self._reading = True
        self._grant()

    def _say_end(self) -> list[Frame]:
        said = [] if self._ended else [Frame(Kind.END, self.number)]
        self._ended = True
        self._close_if_done()
        if self._closing and not self.over:
            said.append(Frame(Kind.CUT, self.number))
            self.lose(None)
        return said

    @property
    def _owes_grant(self) -> bool:
        return self._reading and not self.over and self._passed_bytes >= GRANTED_BYTES // 4

    def _grant(self) -> None:
        if self._owes_grant:
            self._ready(self)

    def _close_if_done(self) -> None:
        if self._ended and self._heard_end:
            self.lose(None)

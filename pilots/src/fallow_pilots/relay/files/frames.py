"""What two sides tell each other of many connections: frames, one after the other. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

_HEAD = struct.Struct("!BII")
_GRANT = struct.Struct("!I")
MOST_BODY_BYTES = 256 << 10


class LinkBrokenError(ConnectionError):
    """The other side is gone, or says what makes no sense: all connections of the link end."""


class Kind(IntEnum):
    """What a frame says."""

    OPEN = 1
    """A connection begins."""
    DATA = 2
    END = 3
    """No more data come in this direction."""
    CUT = 4
    """The connection is over in both directions."""
    GRANT = 5
    """So many more bytes may come."""


@dataclass(frozen=True)
class Frame:
    """One frame of the connection `number`."""

    kind: Kind
    number: int
    body: bytes = b""

    @classmethod
    def grant(cls, number: int, size_bytes: int) -> Frame:
        """Leave to send so many more bytes."""
        return cls(Kind.GRANT, number, _GRANT.pack(size_bytes))

    @property
    def granted_bytes(self) -> int:
        """What a grant grants."""
        return int(_GRANT.unpack(self.body)[0])


def packed(frames: Iterable[Frame]) -> bytes:
    """Frames as bytes."""
    return b"".join(
        piece
        for frame in frames
        for piece in (_HEAD.pack(frame.kind, frame.number, len(frame.body)), frame.body)
    )


def unpacked(data: bytes) -> Iterator[Frame]:
    """The frames in what came from the other side.

    Raises:
        LinkBrokenError: They are none.
    """
    place = 0
    while place < len(data):
        try:
            kind, number, size = _HEAD.unpack_from(data, place)
            frame = Frame(Kind(kind), number, data[place + _HEAD.size : place + _HEAD.size + size])
        except (struct.error, ValueError) as error:
            raise LinkBrokenError("the other side sends no frames") from error
        wanted = {Kind.DATA: range(1, MOST_BODY_BYTES + 1), Kind.GRANT: (_GRANT.size,)}.get(frame.kind, (0,))
        if size not in wanted or len(frame.body) != size:
            raise LinkBrokenError(f"the other side sends a frame {frame.kind.name} of {size} bytes")
        yield frame
        place += _HEAD.size + size

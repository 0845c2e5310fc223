"""One link's directory: each side has a note, which tells how far it is, and numbered files with what it sends.

File systems that several hosts share show news late where names are looked up: an NFS client remembers for up to a minute
that a file was not there. What they promise is that who opens an existing file after another has closed it sees what was
written. So both notes are there from the start and are opened anew for each look, and no numbered file is looked up before
its writer's note has told of it: then it is whole, and nobody has missed it before.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fallow_pilots.relay.files.frames import LinkBrokenError

SEGMENT_BYTES = 4 << 20
"""Connections' bytes in one file; their frames add little."""
MOST_BYTES = 2 * SEGMENT_BYTES
LENGTHS = 64
_NOTE = struct.Struct("!QQQ")
_SUM = struct.Struct("!I")


@dataclass(frozen=True)
class Note:
    """How far one side is.

    Args:
        beat: Counts the notes that it has written: one that stays the same for long is of a dead side.
        made: The last file that it has written.
        taken: The last file of the other side that it has read.
    """

    beat: int = 0
    made: int = 0
    taken: int = 0

    def packed(self) -> bytes:
        """As bytes; the length differs from the last one's.

        NFS tells by time and size whether what a client remembers of a file is old, and times may be coarse.
        """
        text = _NOTE.pack(self.beat, self.made, self.taken)
        return text + _SUM.pack(zlib.crc32(text)) + bytes(self.beat % LENGTHS)

    @classmethod
    def unpacked(cls, text: bytes) -> Note | None:
        """A note; None where it is being written just now."""
        head, told = text[: _NOTE.size], text[_NOTE.size : _NOTE.size + _SUM.size]
        if len(told) < _SUM.size or _SUM.unpack(told)[0] != zlib.crc32(head):
            return None
        return cls(*_NOTE.unpack(head))


class Spool:
    """One side's view of a link's directory, which only the pilot's user may enter.

    Nothing needs to outlast a crash of the file system, so nothing is forced to disk: what is damaged ends the link.

    Args:
        directory: The link's.
        own: What this side's files are called.
        other: What the other side's are called.
    """

    def __init__(self, directory: Path, own: str, other: str) -> None:
        self.directory = directory
        self._own = own
        self._other = other

    def tell(self, note: Note) -> None:
        """Write this side's note.

        Raises:
            OSError: The link is gone, or there is no room.
        """
        text = note.packed()
        with _opened(self.directory / self._own, os.O_WRONLY) as descriptor:
            os.pwrite(descriptor, text, 0)
            if note.beat % LENGTHS == 0:
                os.ftruncate(descriptor, len(text))

    def look(self) -> Note | None:
        """The other side's note; None where it has none yet, or writes it just now.

        Raises:
            OSError: The link is gone.
        """
        with _opened(self.directory / self._other, os.O_RDONLY) as descriptor:
            return Note.unpacked(os.read(descriptor, 256))

    def write(self, number: int, data: bytes) -> None:
        """Write a file for the other side; it looks for it when a note tells of it.

        Raises:
            OSError: The link is gone, or there is no room.
        """
        path = self._file(self._own, number)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(_SUM.pack(zlib.crc32(data)))
            stream.write(data)

    def read(self, number: int) -> bytes | None:
        """Take a file of the other side out of the directory; None where it is not seen yet.

        Raises:
            LinkBrokenError: It is not what the other side would have written.
            OSError: The file system fails.
        """
        path = self._file(self._other, number)
        try:
            with (
                _opened(path, os.O_RDONLY) as descriptor,
                os.fdopen(descriptor, "rb", closefd=False) as stream,
            ):
                text = stream.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return None
        data = text[_SUM.size :]
        if len(text) > MOST_BYTES or text[: _SUM.size] != _SUM.pack(zlib.crc32(data)):
            raise LinkBrokenError(f"{path.name} is damaged")
        path.unlink()
        return data

    def _file(self, side: str, number: int) -> Path:
        return self.directory / f"{side}.{number}"


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """A plain file of this user; its descriptor."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
            raise LinkBrokenError(f"{path.name} is not a plain file of this user")
        yield descriptor
    finally:
        os.close(descriptor)

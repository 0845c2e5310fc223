"""HTCondor's history files on the hub's disk: what has been added since the last look, however often they were renamed.

A file is known by device and inode, not by its name, and by the bytes that were read from it last; how far it has been read
is kept in the same transaction as what was read. Shadows append their records in one write each, and none of them rotates:
two that did so in one second would overwrite each other's old file. So the epoch history is rotated here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from fallow_matcher.ledger.ads import complete
from fallow_matcher.ledger.tables import POSITION

log = logging.getLogger(__name__)

EPOCHS, JOBS = "epoch_history", "history"
CHUNK_BYTES = 4 * 1024 * 1024
ROTATE_BYTES = 64 * 1024 * 1024
KEEP_S = 14 * 86_400
"""How long a rotated file that has been read is kept, so that `condor_history -epochs` can tell."""

_TAIL_BYTES = 256
"""So much of what was read last is kept: the end of a record, which names job, run and moment."""


@dataclass(frozen=True)
class Piece:
    """Whole records that were added to a file."""

    history: str
    device: int
    inode: int
    offset: int
    text: bytes

    @property
    def end(self) -> int:
        """Where the next piece begins."""
        return self.offset + len(self.text)


def files(spool: Path, queue: str = "") -> list[tuple[str, Path]]:
    """Every history file below HTCondor's spool directory, rotated ones first, with the history that it belongs to.

    Args:
        spool: The directory.
        queue: Whose it is, where two queues on two machines write into one ledger.
    """
    found = []
    for history in (EPOCHS, JOBS):
        rotated = sorted(path for path in spool.glob(f"{history}.*") if path.is_file())
        found += [(_named(history, queue), path) for path in (*rotated, spool / history)]
    return found


def _named(history: str, queue: str) -> str:
    return f"{queue}/{history}" if queue else history


def next_piece(connection: Connection, history: str, path: Path) -> Piece | None:
    """What follows in a file on what was read from it; None at its end, and where there is no such file."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as stream:
        about = os.fstat(stream.fileno())
        offset = _offset(connection, history, about, stream)
        stream.seek(offset)
        text = stream.read(CHUNK_BYTES)
        while not (length := complete(text)):
            more = stream.read(CHUNK_BYTES)
            if not more:
                return None
            text += more
        return Piece(history, about.st_dev, about.st_ino, offset, text[:length])
    return None


def passed(connection: Connection, piece: Piece, now: float) -> None:
    """Remember that a piece has been read."""
    here = _here(piece.history, piece.device, piece.inode)
    values = {"tail": piece.text[-_TAIL_BYTES:].hex(), "offset": piece.end, "read_at": now}
    if not connection.execute(update(POSITION).where(here).values(values)).rowcount:
        row = {"history": piece.history, "device": piece.device, "inode": piece.inode, **values}
        connection.execute(insert(POSITION).values(row))


def rotate(spool: Path) -> None:
    """Give the epoch history another name once it is long; a shadow that has it open adds its record there."""
    path = spool / EPOCHS
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size < ROTATE_BYTES:
            return
        target = path.with_name(f"{EPOCHS}.{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
        if not target.exists():
            path.rename(target)
            log.info("the epoch history was rotated to %s", target.name)


def forget(connection: Connection, spool: Path, now: float, queue: str = "") -> None:
    """Remove rotated epoch files that were read whole long ago, and the positions of files that are no more."""
    there = set()
    for history, path in files(spool, queue):
        with contextlib.suppress(FileNotFoundError):
            about = path.stat()
            row = connection.execute(
                select(POSITION.c.offset, POSITION.c.read_at).where(
                    _here(history, about.st_dev, about.st_ino)
                )
            ).one_or_none()
            rotated = path.name.startswith(f"{EPOCHS}.")
            if rotated and row and row.offset >= about.st_size and row.read_at < now - KEEP_S:
                path.unlink()
                log.info("the epoch history %s has been read and is removed", path.name)
            else:
                there.add((history, about.st_dev, about.st_ino))
    ours = POSITION.c.history.in_([_named(EPOCHS, queue), _named(JOBS, queue)])
    for row in connection.execute(select(POSITION).where(ours)).all():
        if (row.history, row.device, row.inode) not in there:
            connection.execute(delete(POSITION).where(_here(row.history, row.device, row.inode)))


def _offset(connection: Connection, history: str, about: os.stat_result, stream: BinaryIO) -> int:
    row = connection.execute(
        select(POSITION.c.offset, POSITION.c.tail).where(_here(history, about.st_dev, about.st_ino))
    ).one_or_none()
    if row is None:
        return 0
    tail = bytes.fromhex(row.tail)
    stream.seek(max(0, row.offset - len(tail)))
    # An inode is used again: where other bytes stand, it is another file. Reading one twice does no harm.
    return int(row.offset) if stream.read(len(tail)) == tail else 0


def _here(history: str, device: int, inode: int) -> ColumnElement[bool]:
    return and_(POSITION.c.history == history, POSITION.c.device == device, POSITION.c.inode == inode)

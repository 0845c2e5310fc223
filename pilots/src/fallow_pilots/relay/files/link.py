"""A link at work: what connections say goes into files, what the other side's files say goes to the connections."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import Callable

from fallow_pilots.relay.files.frames import LinkBrokenError, packed, unpacked
from fallow_pilots.relay.files.spool import SEGMENT_BYTES, Note, Spool
from fallow_pilots.relay.files.streams import Streams
from fallow_pilots.relay.limits import within

QUICK_S, SLOW_S = 0.002, 1.0
"""The pauses between two looks: short while something moves, long where nothing has moved for long."""
CALM = 8
"""A look comes after an eighth of the time for which nothing has moved."""
BEAT_S = 10.0
"""How often a side that has nothing to say writes its note all the same."""
DEAD_S = 60.0
"""A side that has written none for so long is dead."""
FLYING_BYTES, FLYING_FILES = 32 << 20, 256
"""What may lie in the directory, of one side, that the other has not taken."""


def pause_s(quiet_s: float) -> float:
    """How long to wait before the next look when nothing has moved for `quiet_s`."""
    return min(SLOW_S, max(QUICK_S, quiet_s / CALM))


class Link:
    """Carries the connections of `streams` through the files of `spool` until the other side is gone.

    Args:
        spool: The directory.
        streams: The connections.
        clock: Seconds that only grow.
    """

    def __init__(self, spool: Spool, streams: Streams, clock: Callable[[], float] = time.monotonic) -> None:
        self.answered = asyncio.Event()
        """Set when the other side is there."""
        self._spool = spool
        self._streams = streams
        self._clock = clock
        self._own = self._told = self._other = Note()
        self._told_at = float("-inf")
        self._untold_bytes = 0
        self._flying: dict[int, int] = {}
        self._looked_at = clock()
        self._silent_s = self._lacking_s = 0.0

    async def run(self) -> None:
        """Carry until it breaks; the caller ends the connections.

        Raises:
            LinkBrokenError: The other side is dead, or makes no sense.
            OSError: The directory is gone, or cannot be used.
        """
        moved_at = self._clock()
        while True:
            room = min(SEGMENT_BYTES, FLYING_BYTES - sum(self._flying.values()))
            full = room <= 0 or len(self._flying) >= FLYING_FILES
            said = packed(self._streams.say(0 if full else room))
            came = await asyncio.to_thread(self._turn, said)
            for data in came:
                for frame in unpacked(data):
                    self._streams.hear(frame)
            if self._other.beat > 0:
                self.answered.set()
            if said or came:
                moved_at = self._clock()
            pause = pause_s(self._clock() - moved_at)
            if full:
                await asyncio.sleep(pause)
            elif not came:
                with suppress(asyncio.TimeoutError):
                    await within(self._streams.waiting.wait(), pause)

    def _turn(self, said: bytes) -> list[bytes]:
        """Write, look, read: all that touches the file system."""
        if said:
            self._own = replace(self._own, made=self._own.made + 1)
            self._flying[self._own.made] = len(said)
            self._spool.write(self._own.made, said)
        if said or self._must_tell():
            self._tell()
        self._hear(self._spool.look())
        return self._read()

    def _read(self) -> list[bytes]:
        """What the other side's note has told of."""
        came: list[bytes] = []
        while self._own.taken < self._other.made and sum(map(len, came)) < SEGMENT_BYTES:
            data = self._spool.read(self._own.taken + 1)
            if data is None:
                return came
            came.append(data)
            self._untold_bytes += len(data)
            self._own = replace(self._own, taken=self._own.taken + 1)
        self._lacking_s = 0.0
        return came

    def _must_tell(self) -> bool:
        return (
            self._clock() - self._told_at >= BEAT_S
            or self._untold_bytes >= FLYING_BYTES // 4
            or self._own.taken - self._told.taken >= FLYING_FILES // 4
        )

    def _tell(self) -> None:
        self._own = self._told = replace(self._own, beat=self._own.beat + 1)
        self._spool.tell(self._own)
        self._told_at, self._untold_bytes = self._clock(), 0

    def _hear(self, note: Note | None) -> None:
        """Take the other side's note into account.

        Raises:
            LinkBrokenError: It makes no sense, or is old, or tells of a file that does not come.
        """
        # A pause of this side's own, as where the file system hung for both, is no silence of the other.
        passed_s = min(self._clock() - self._looked_at, 2 * SLOW_S)
        self._looked_at = self._clock()
        self._silent_s += passed_s
        self._lacking_s += passed_s
        if note is not None and note.beat > self._other.beat:
            if not (
                self._other.made <= note.made <= self._own.taken + FLYING_FILES
                and self._other.taken <= note.taken <= self._own.made
            ):
                raise LinkBrokenError("the other side's note makes no sense")
            self._other = note
            for number in [number for number in self._flying if number <= note.taken]:
                del self._flying[number]
            self._silent_s = 0.0
        if self._other.beat > 0 and max(self._silent_s, self._lacking_s) > DEAD_S:
            raise LinkBrokenError(f"the other side has been silent for {DEAD_S:.0f} s")

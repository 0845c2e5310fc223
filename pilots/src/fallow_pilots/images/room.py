"""Which images have to go so that another one fits: the least recently used first, and none that is in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Kept(NamedTuple):
    """One image in the store."""

    digest: str
    size_bytes: int
    used_at: float
    """Unix time of the store's file system."""
    in_use: bool


class Room(NamedTuple):
    """How much the store may hold."""

    taken_bytes: int
    """What it holds now, half-fetched images included with their whole size."""
    quota_bytes: int | None
    free_bytes: int
    """Free in its file system."""
    reserve_bytes: int
    """What must stay free there."""

    def lacks(self, size_bytes: int) -> int:
        """By how many bytes too little room there is for `size_bytes` more; 0 where there is enough."""
        over = 0 if self.quota_bytes is None else self.taken_bytes + size_bytes - self.quota_bytes
        return max(0, over, size_bytes + self.reserve_bytes - self.free_bytes)


def victims(kept: Sequence[Kept], room: Room, size_bytes: int) -> list[Kept] | None:
    """The images to remove for `size_bytes` more, fewest of the least recently used; None if that cannot be enough."""
    lacking = room.lacks(size_bytes)
    chosen: list[Kept] = []
    for one in sorted(kept, key=lambda image: (image.used_at, image.digest)):
        if lacking <= 0:
            break
        if not one.in_use:
            chosen.append(one)
            lacking -= one.size_bytes
    return chosen if lacking <= 0 else None

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fallow_pilots.images.room import Kept, Room, victims

sizes = st.integers(0, 1000)
kept_images = st.lists(
    st.builds(
        Kept,
        digest=st.text("abc", min_size=1, max_size=5),
        size_bytes=sizes,
        used_at=st.integers(0, 20).map(float),
        in_use=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda one: one.digest,
)
quotas = st.none() | st.integers(0, 5000)


def room_of(kept: list[Kept], quota: int | None, free: int) -> Room:
    return Room(sum(one.size_bytes for one in kept), quota, free, 0)


@given(kept_images, quotas, sizes, sizes)
def test_an_image_in_use_is_never_removed(kept: list[Kept], quota: int | None, free: int, size: int) -> None:
    assert not any(one.in_use for one in victims(kept, room_of(kept, quota, free), size) or [])


@given(kept_images, quotas, sizes, sizes)
def test_what_is_removed_makes_enough_room(kept: list[Kept], quota: int | None, free: int, size: int) -> None:
    room = room_of(kept, quota, free)
    chosen = victims(kept, room, size)
    if chosen is not None:
        gone = sum(one.size_bytes for one in chosen)
        after = room._replace(taken_bytes=room.taken_bytes - gone, free_bytes=room.free_bytes + gone)
        assert after.lacks(size) == 0


@given(kept_images, quotas, sizes, sizes)
def test_nothing_is_kept_that_was_used_before_what_is_removed(
    kept: list[Kept], quota: int | None, free: int, size: int
) -> None:
    chosen = victims(kept, room_of(kept, quota, free), size) or []
    stay = [one for one in kept if one not in chosen and not one.in_use]
    assert all(gone.used_at <= one.used_at for gone in chosen for one in stay)


@given(kept_images, quotas, sizes, sizes)
def test_it_is_impossible_only_where_all_that_is_not_in_use_is_too_little(
    kept: list[Kept], quota: int | None, free: int, size: int
) -> None:
    room = room_of(kept, quota, free)
    if victims(kept, room, size) is None:
        most = sum(one.size_bytes for one in kept if not one.in_use)
        assert most < room.lacks(size)


@given(kept_images, sizes)
def test_nothing_is_removed_where_there_is_room(kept: list[Kept], size: int) -> None:
    assert victims(kept, room_of(kept, None, size), size) == []

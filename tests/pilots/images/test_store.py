from __future__ import annotations

import errno
import hashlib
import os
import random
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fallow.errors import NotAvailableError, RefusedError
from fallow_pilots.images.lease import lease
from fallow_pilots.images.marks import FRESH_S
from fallow_pilots.images.store import MAX_IMAGE_BYTES, ImageStore, Source, fingerprint

CONTENT = random.Random(0).randbytes(1000) * 3000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Hub:
    """Sends what the test says, and counts how often it was asked."""

    def __init__(
        self, chunks: Iterable[bytes] = (CONTENT[:1234], CONTENT[1234:]), size: int = len(CONTENT)
    ) -> None:
        self.chunks, self.size, self.opened = chunks, size, 0

    @contextmanager
    def open(self, digest: str) -> Iterator[Source]:
        self.opened += 1
        yield Source(self.size, self.chunks)


def store(tmp_path: Path, hub: Hub, reserve_bytes: int = 0) -> ImageStore:
    return ImageStore(tmp_path / "store", hub.open, reserve_bytes=reserve_bytes, patience_s=0)


def images(tmp_path: Path) -> list[str]:
    return [
        path.name
        for path in (tmp_path / "store").iterdir()
        if not path.name.endswith((".use", ".last", ".clock"))
    ]


def test_a_missing_image_is_fetched(tmp_path: Path) -> None:
    path = store(tmp_path, Hub()).ensure(DIGEST, "north-1")
    assert path.read_bytes() == CONTENT
    assert path.name == f"sha256-{DIGEST}.sif"
    assert images(tmp_path) == [path.name]


def test_an_image_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    hub = Hub()
    store(tmp_path, hub).ensure(DIGEST, "north-1")
    store(tmp_path, hub).ensure(DIGEST, "north-1")
    assert hub.opened == 1


def test_an_image_can_only_be_read(tmp_path: Path) -> None:
    assert store(tmp_path, Hub()).ensure(DIGEST, "north-1").stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize(
    "damage", [CONTENT[:-1], b"", bytes([CONTENT[0] ^ 1]) + CONTENT[1:]], ids=["shorter", "empty", "one bit"]
)
def test_a_damaged_image_is_replaced(tmp_path: Path, damage: bytes) -> None:
    images_of = store(tmp_path, Hub())
    path = images_of.ensure(DIGEST, "north-1")
    path.chmod(0o600)
    path.write_bytes(damage)
    assert images_of.ensure(DIGEST, "north-1").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("hub", "why"),
    [
        (Hub([CONTENT[:-1]]), "2999999 of 3000000 bytes came"),
        (Hub([CONTENT, b"x"]), "more than the announced"),
        (Hub([b"y" * len(CONTENT)]), "what came has the digest sha256:"),
    ],
    ids=["truncated", "longer", "another"],
)
def test_what_is_not_the_image_is_not_kept(tmp_path: Path, hub: Hub, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        store(tmp_path, hub).ensure(DIGEST, "north-1")
    assert images(tmp_path) == []


def test_a_transfer_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield CONTENT[:10]
        raise NotAvailableError("The store went away.")

    with pytest.raises(NotAvailableError, match="went away"):
        store(tmp_path, Hub(broken())).ensure(DIGEST, "north-1")
    assert images(tmp_path) == []


def test_a_full_store_is_named_with_its_numbers(tmp_path: Path) -> None:
    with pytest.raises(NotAvailableError, match=rf"has {len(CONTENT)} bytes, but .* keeps {1 << 60}\."):
        store(tmp_path, Hub(), reserve_bytes=1 << 60).ensure(DIGEST, "north-1")
    assert images(tmp_path) == []


def test_an_image_beyond_all_bounds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="at most"):
        store(tmp_path, Hub(size=MAX_IMAGE_BYTES + 1)).ensure(DIGEST, "north-1")


@pytest.mark.parametrize("digest", ["", "../x", DIGEST.upper(), DIGEST + "0", DIGEST[:-1] + "\n"])
def test_what_is_no_digest_names_no_file(tmp_path: Path, digest: str) -> None:
    with pytest.raises(RefusedError, match="no SHA-256 digest"):
        store(tmp_path, Hub()).ensure(digest, "north-1")


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(NotAvailableError, match=r"image store .* cannot be used"):
        store(tmp_path, Hub()).ensure(DIGEST, "north-1")


def test_what_a_killed_fetch_left_is_removed(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    directory.mkdir()
    (directory / f".{DIGEST}.abc.part").write_bytes(b"half")
    store(tmp_path, Hub()).ensure(DIGEST, "north-1")
    assert images(tmp_path) == [f"sha256-{DIGEST}.sif"]


def test_two_who_need_an_image_fetch_it_once(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        begun.set()
        go_on.wait(60)
        yield CONTENT

    first, second = Hub(slow()), Hub()
    threads = [
        threading.Thread(target=store(tmp_path, hub).ensure, args=(DIGEST, "north-1"))
        for hub in (first, second)
    ]
    threads[0].start()
    assert begun.wait(60)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert (first.opened, second.opened) == (1, 0)


def test_the_fingerprint_is_what_the_script_asks_of_stat(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x")
    said = subprocess.run(
        ["stat", "-L", "-c", "%i %s %Y %Z", path], capture_output=True, text=True, check=True
    )
    assert fingerprint(path) == said.stdout.strip()


def images_of(tmp_path: Path, quota_bytes: int | None, hub: Hub | None = None) -> ImageStore:
    opener = (hub or Hub()).open
    return ImageStore(tmp_path / "store", opener, quota_bytes=quota_bytes, reserve_bytes=0, patience_s=0)


def other(tmp_path: Path, letter: str, size: int, used_at: float) -> Path:
    """An image that lies in the store already, used last at some time."""
    directory = tmp_path / "store"
    directory.mkdir(exist_ok=True)
    path = directory / f"sha256-{letter * 64}.sif"
    path.write_bytes(b"x" * size)
    last = directory / f".{letter * 64}.last"
    last.touch()
    os.utime(last, (used_at, used_at))
    return path


def test_the_least_recently_used_images_make_room_under_the_quota(tmp_path: Path) -> None:
    old, older, new = (
        other(tmp_path, *about) for about in (("a", 1000, 200), ("b", 1000, 100), ("c", 1000, 300))
    )
    images_of(tmp_path, len(CONTENT) + 2500).ensure(DIGEST, "north-1")
    assert (old.exists(), older.exists(), new.exists()) == (True, False, True)
    assert not list((tmp_path / "store").glob(f".{64 * 'b'}*"))


def test_an_image_in_use_is_not_removed(tmp_path: Path) -> None:
    used, idle = other(tmp_path, "a", 1000, 100), other(tmp_path, "b", 1000, 200)
    images = images_of(tmp_path, len(CONTENT) + 1000)
    images.marks.put("a" * 64, "north-2")
    images.ensure(DIGEST, "north-1")
    assert (used.exists(), idle.exists()) == (True, False)


def test_a_quota_that_images_in_use_fill_is_told_with_its_numbers(tmp_path: Path) -> None:
    used = other(tmp_path, "a", 1000, 100)
    images = images_of(tmp_path, len(CONTENT))
    images.marks.put("a" * 64, "north-2")
    with pytest.raises(NotAvailableError, match=rf"a quota of {len(CONTENT)}, 1000 of them in use"):
        images.ensure(DIGEST, "north-1")
    assert used.exists()


def test_pilots_are_asked_to_let_go_of_what_is_in_the_way(tmp_path: Path) -> None:
    left = other(tmp_path, "a", 1000, 100)
    images = ImageStore(
        tmp_path / "store", Hub().open, quota_bytes=len(CONTENT), reserve_bytes=0, patience_s=60
    )
    images.marks.put("a" * 64, "north-2")

    def pilot() -> None:
        while not images.marks.pressed_at():
            pass
        images.marks.drop("a" * 64, "north-2")

    thread = threading.Thread(target=pilot)
    thread.start()
    images.ensure(DIGEST, "north-1")
    thread.join()
    assert not left.exists()


def test_what_a_dead_pilot_used_may_be_removed(tmp_path: Path) -> None:
    left = other(tmp_path, "a", 1000, 100)
    images = images_of(tmp_path, len(CONTENT))
    images.marks.put("a" * 64, "north-2")
    [mark] = (tmp_path / "store").glob("*.use")
    os.utime(mark, (mark.stat().st_mtime - FRESH_S - 1,) * 2)
    images.ensure(DIGEST, "north-1")
    assert not left.exists()
    assert not mark.exists()


def test_an_image_that_somebody_works_on_is_not_removed(tmp_path: Path) -> None:
    image = other(tmp_path, "a", 1000, 100)
    with (
        lease(tmp_path / "store" / f".{'a' * 64}.lease"),
        pytest.raises(NotAvailableError, match="a quota of"),
    ):
        images_of(tmp_path, len(CONTENT)).ensure(DIGEST, "north-1")
    assert image.exists()


def test_an_image_that_is_being_fetched_counts_with_its_whole_size(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with (tmp_path / "store" / f".{'a' * 64}.x.part").open("wb") as part:
        part.truncate(1000)
    with pytest.raises(NotAvailableError, match="holds 1000 with a quota"):
        images_of(tmp_path, len(CONTENT) + 999).ensure(DIGEST, "north-1")


def test_a_prefetched_image_removes_no_other(tmp_path: Path) -> None:
    image = other(tmp_path, "a", 1000, 100)
    with pytest.raises(NotAvailableError, match="a quota of"):
        images_of(tmp_path, len(CONTENT)).prefetch(DIGEST)
    assert image.exists()


def test_a_prefetched_image_is_there_for_the_first_job(tmp_path: Path) -> None:
    hub = Hub()
    assert images_of(tmp_path, None, hub).prefetch(DIGEST)
    assert not images_of(tmp_path, None, hub).prefetch(DIGEST)
    images_of(tmp_path, None, hub).ensure(DIGEST, "north-1")
    assert hub.opened == 1


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is mounted read-only; the real thing needs the right to mount."""
    real = os.open

    def refuse(path: str, flags: int, *more: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, *more)

    monkeypatch.setattr("fallow_pilots.images.lease.os.open", refuse)


def test_an_image_in_a_store_that_can_only_be_read_is_used(tmp_path: Path, read_only: None) -> None:
    path = tmp_path / "store" / f"sha256-{DIGEST}.sif"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert images_of(tmp_path, None).ensure(DIGEST, "north-1") == path


def test_a_damaged_image_in_a_store_that_can_only_be_read_is_not_used(
    tmp_path: Path, read_only: None
) -> None:
    path = tmp_path / "store" / f"sha256-{DIGEST}.sif"
    path.parent.mkdir()
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(NotAvailableError, match="can only be read here"):
        images_of(tmp_path, None).ensure(DIGEST, "north-1")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=12))
def test_the_store_never_holds_more_than_its_quota_nor_loses_what_is_in_use(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool]]
) -> None:
    directory = tmp_path_factory.mktemp("store")
    contents = [bytes([number]) * (number + 1) * 100 for number in range(5)]
    digests = [hashlib.sha256(content).hexdigest() for content in contents]

    @contextmanager
    def opened(digest: str) -> Iterator[Source]:
        content = contents[digests.index(digest)]
        yield Source(len(content), [content])

    images = ImageStore(directory, opened, quota_bytes=900, reserve_bytes=0, patience_s=0)
    held: set[str] = set()
    for number, drops in steps:
        try:
            images.ensure(digests[number], "north-1")
            held.add(digests[number])
        except NotAvailableError:
            images.marks.drop(digests[number], "north-1")
            held.discard(digests[number])
        if drops:
            for digest in held:
                images.marks.drop(digest, "north-1")
            held.clear()
        assert sum(path.stat().st_size for path in directory.glob("*.sif")) <= 900
        assert all(images.path(digest).exists() for digest in held)

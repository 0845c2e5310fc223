from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fallow.errors import NotAvailableError, RefusedError
from fallow_pilots.node.images import MAX_IMAGE_BYTES, ImageStore, Source, fingerprint

CONTENT = os.urandom(1000) * 3000
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
    return ImageStore(tmp_path / "store", hub.open, reserve_bytes)


def images(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "store").iterdir() if not path.name.endswith(".lock")]


def test_a_missing_image_is_fetched(tmp_path: Path) -> None:
    path = store(tmp_path, Hub()).ensure(DIGEST)
    assert path.read_bytes() == CONTENT
    assert path.name == f"sha256-{DIGEST}.sif"
    assert images(tmp_path) == [path.name]


def test_an_image_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    hub = Hub()
    store(tmp_path, hub).ensure(DIGEST)
    store(tmp_path, hub).ensure(DIGEST)
    assert hub.opened == 1


def test_an_image_can_only_be_read(tmp_path: Path) -> None:
    assert store(tmp_path, Hub()).ensure(DIGEST).stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize(
    "damage", [CONTENT[:-1], b"", bytes([CONTENT[0] ^ 1]) + CONTENT[1:]], ids=["shorter", "empty", "one bit"]
)
def test_a_damaged_image_is_replaced(tmp_path: Path, damage: bytes) -> None:
    images_of = store(tmp_path, Hub())
    path = images_of.ensure(DIGEST)
    path.chmod(0o600)
    path.write_bytes(damage)
    assert images_of.ensure(DIGEST).read_bytes() == CONTENT


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
        store(tmp_path, hub).ensure(DIGEST)
    assert images(tmp_path) == []


def test_a_transfer_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield CONTENT[:10]
        raise NotAvailableError("The store went away.")

    with pytest.raises(NotAvailableError, match="went away"):
        store(tmp_path, Hub(broken())).ensure(DIGEST)
    assert images(tmp_path) == []


def test_a_full_store_is_named_with_its_numbers(tmp_path: Path) -> None:
    with pytest.raises(NotAvailableError, match=rf"has {len(CONTENT)} bytes, but .* keeps {1 << 60}"):
        store(tmp_path, Hub(), reserve_bytes=1 << 60).ensure(DIGEST)
    assert images(tmp_path) == []


def test_an_image_beyond_all_bounds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="at most"):
        store(tmp_path, Hub(size=MAX_IMAGE_BYTES + 1)).ensure(DIGEST)


@pytest.mark.parametrize("digest", ["", "../x", DIGEST.upper(), DIGEST + "0", DIGEST[:-1] + "\n"])
def test_what_is_no_digest_names_no_file(tmp_path: Path, digest: str) -> None:
    with pytest.raises(RefusedError, match="no SHA-256 digest"):
        store(tmp_path, Hub()).ensure(digest)


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(NotAvailableError, match=r"image store .* cannot be used"):
        store(tmp_path, Hub()).ensure(DIGEST)


def test_what_a_killed_fetch_left_is_removed(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    directory.mkdir()
    (directory / f".{DIGEST}.abc.part").write_bytes(b"half")
    store(tmp_path, Hub()).ensure(DIGEST)
    assert images(tmp_path) == [f"sha256-{DIGEST}.sif"]


def test_the_lock_of_a_killed_process_holds_nobody_up(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    directory.mkdir()
    holder = """if True:
        import fcntl, sys, time
        file = open(sys.argv[1], "w")
        fcntl.flock(file, fcntl.LOCK_EX)
        print(flush=True)
        time.sleep(600)
    """
    command = [sys.executable, "-c", holder, str(directory / f".{DIGEST}.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    assert store(tmp_path, Hub()).ensure(DIGEST).exists()


def test_two_who_need_an_image_fetch_it_once(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        begun.set()
        go_on.wait(60)
        yield CONTENT

    first, second = Hub(slow()), Hub()
    threads = [
        threading.Thread(target=store(tmp_path, hub).ensure, args=(DIGEST,)) for hub in (first, second)
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
    said = subprocess.run(["stat", "-L", "-c", "%i %s %Y", path], capture_output=True, text=True, check=True)
    assert fingerprint(path) == said.stdout.strip()

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fallow_pilots.node import often
from fallow_pilots.node.layout import Layout
from fallow_pilots.node.often import MANY, OftenUsed

DIGEST = "ab" * 32


class Node:
    """A pilot that has checked one image; unpacking it is a program that makes its directory, or fails."""

    def __init__(self, place: Layout, image: Path) -> None:
        image.write_bytes(b"image")
        self.place, self.program, self.asked = place, "mkdir", 0
        self.often = OftenUsed(place, self.unpack)
        self.mark.write_text(f"fingerprint\n{image}\n{image}\n")

    def unpack(self, image: Path, digest: str, into: Path) -> subprocess.Popen[bytes]:
        self.asked += 1
        process = subprocess.Popen([self.program, str(into / digest)])
        process.wait()
        return process

    @property
    def mark(self) -> Path:
        return self.place.verified / DIGEST

    @property
    def started_from(self) -> str:
        return self.mark.read_text().splitlines()[2]


@pytest.fixture
def node(place: Layout, tmp_path: Path) -> Node:
    return Node(place, tmp_path / "image.sif")


def test_an_image_of_many_payloads_is_started_from_a_directory(node: Node) -> None:
    node.often.look([DIGEST] * MANY)
    node.often.look([])
    assert node.started_from == str(node.place.unpacked / DIGEST)
    assert node.mark.read_text().splitlines()[0] == "fingerprint"


def test_an_image_of_few_payloads_stays_a_file(node: Node) -> None:
    for _ in range(MANY - 1):
        node.often.look([DIGEST])
    node.often.look([])
    assert node.asked == 0


def test_a_large_image_stays_a_file(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(often, "LARGEST_BYTES", 4)
    node.often.look([DIGEST] * MANY)
    assert node.asked == 0


def test_what_cannot_be_unpacked_is_tried_once_and_stays_a_file(node: Node) -> None:
    node.program = "false"
    for _ in range(3):
        node.often.look([DIGEST] * MANY)
    assert node.asked == 1
    assert node.started_from.endswith("image.sif")


def test_an_image_that_was_let_go_meanwhile_gets_no_mark(node: Node) -> None:
    node.often.look([DIGEST] * MANY)
    node.mark.unlink()
    node.often.look([])
    assert not node.mark.exists()


def test_an_image_that_comes_back_is_counted_anew(node: Node) -> None:
    node.often.look([DIGEST] * MANY)
    node.often.look([])
    node.often.forget(DIGEST)
    node.often.look([DIGEST])
    assert node.asked == 1

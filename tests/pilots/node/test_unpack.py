from __future__ import annotations

from pathlib import Path

import pytest

from fallow.errors import NotAvailableError
from fallow_pilots.node import unpack
from fallow_pilots.node.layout import Layout
from fallow_pilots.node.unpack import fuse_is_there, unpacked

DIGEST = "ab" * 32


@pytest.fixture
def apptainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An Apptainer that makes a directory with a closed one in it, or fails if there is a file `broken`."""
    program = tmp_path / "bin" / "apptainer"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\nmkdir -p "$4/closed" && chmod 500 "$4/closed"\n'
        'env | grep -q "^APPTAINER_BIND=" && touch "$4/followed"\n'
        '[ ! -e "$(dirname "$0")/broken" ] || { echo "FATAL: no space" >&2; exit 255; }\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("APPTAINER_BIND", "/home")
    monkeypatch.setattr(unpack, "RESERVE_BYTES", 0)
    return program


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.sif"
    path.write_bytes(b"image")
    return path


def test_an_image_is_unpacked_once_and_without_the_environments_wishes(
    place: Layout, image: Path, apptainer: Path
) -> None:
    found = unpacked(image, DIGEST, place.unpacked)
    assert [path.name for path in found.iterdir()] == ["closed"]
    apptainer.with_name("broken").touch()
    assert unpacked(image, DIGEST, place.unpacked) == found


def test_what_fails_half_way_leaves_nothing(place: Layout, image: Path, apptainer: Path) -> None:
    apptainer.with_name("broken").touch()
    with pytest.raises(NotAvailableError, match=r"cannot unpack .*: FATAL: no space"):
        unpacked(image, DIGEST, place.unpacked)
    assert list(place.unpacked.iterdir()) == []


def test_a_disk_that_is_too_small_is_told(
    place: Layout, image: Path, apptainer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "RESERVE_BYTES", 1 << 60)
    with pytest.raises(NotAvailableError, match="Unpacking the image takes up to"):
        unpacked(image, DIGEST, place.unpacked)


def test_fuse_needs_the_device_and_a_program(
    tmp_path: Path, apptainer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "fuse"
    monkeypatch.setattr(unpack, "DEVICE", str(device))
    monkeypatch.setenv("PATH", str(apptainer.parent))
    mounts = tmp_path / "libexec" / "apptainer" / "bin" / "squashfuse_ll"
    mounts.parent.mkdir(parents=True)
    mounts.write_text("#!/bin/sh\n")
    mounts.chmod(0o755)
    assert not fuse_is_there()
    device.touch()
    assert fuse_is_there()

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fallow.images.messages import Published
from fallow.images.signing import sign
from fallow.images.tree import tree_digest
from fallow_pilots.images.copies import find

CONTENT = b"an image"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
TRUSTED, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
SIGNER = sign(TRUSTED, f"sha256:{DIGEST}", None)[0]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


def directory(path: Path) -> str:
    """An unpacked image; the digest of its files."""
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "tool").write_bytes(b"#!")
    (path / "bin" / "tool").chmod(0o755)
    (path / "lib").symlink_to("bin")
    return tree_digest(path)


def published(
    tree: str, key: Ed25519PrivateKey = TRUSTED, source: str = "", digest: str = DIGEST
) -> list[Published]:
    public, signature = sign(key, f"sha256:{digest}", tree)
    return [
        Published(
            publisher="north.alice",
            created=datetime.now(UTC),
            tree=tree,
            key=public,
            signature=signature,
            source=source,
        )
    ]


def test_an_identical_file_is_used_and_the_hub_not_asked(place: Path) -> None:
    copy = place / f"sha256-{DIGEST}.sif"
    copy.write_bytes(CONTENT)
    assert find(DIGEST, [place], [SIGNER], lambda: pytest.fail("asked")) == copy


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], CONTENT + b"x", b"An image"])
def test_another_file_is_not_used(place: Path, damage: bytes) -> None:
    (place / f"sha256-{DIGEST}.sif").write_bytes(damage)
    assert find(DIGEST, [place], [], list) is None


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (f"sha256-{DIGEST}", ""),
        ("registry.example.org/tools/bwa:0.7", "docker://registry.example.org/tools/bwa:0.7"),
        ("registry.hub.docker.com/library/python:3.12", "docker://python:3.12"),
        ("registry.hub.docker.com/tools/bwa:1", "docker://tools/bwa:1"),
    ],
)
def test_an_unpacked_image_with_signed_files_is_used(place: Path, name: str, source: str) -> None:
    tree = directory(place / name)
    assert find(DIGEST, [place], [SIGNER], lambda: published(tree, source=source)) == place / name


def test_an_unpacked_image_that_was_changed_is_not_used(place: Path) -> None:
    tree = directory(place / f"sha256-{DIGEST}")
    (place / f"sha256-{DIGEST}" / "bin" / "tool").write_bytes(b"#?")
    assert find(DIGEST, [place], [SIGNER], lambda: published(tree)) is None


def test_files_that_a_stranger_signed_are_not_used(place: Path) -> None:
    tree = directory(place / f"sha256-{DIGEST}")
    assert find(DIGEST, [place], [SIGNER], lambda: published(tree, STRANGER)) is None


def test_a_signature_of_another_image_is_none(place: Path) -> None:
    tree = directory(place / f"sha256-{DIGEST}")
    assert find(DIGEST, [place], [SIGNER], lambda: published(tree, digest="cd" * 32)) is None


def test_a_source_never_leads_out_of_the_place(place: Path) -> None:
    tree = directory(place / "outside")
    (place / "copies").mkdir()
    source = "docker://x/../../outside"
    assert find(DIGEST, [place / "copies"], [SIGNER], lambda: published(tree, source=source)) is None


def test_apptainers_notes_on_a_build_do_not_count_but_what_it_runs_does(place: Path) -> None:
    tree = directory(place / "a")
    (place / "a" / ".singularity.d").mkdir()
    bare = tree_digest(place / "a")
    assert bare != tree
    (place / "a" / ".singularity.d" / "labels.json").write_text("today")
    assert tree_digest(place / "a") == bare
    (place / "a" / ".singularity.d" / "runscript").write_text("#!/bin/sh")
    assert tree_digest(place / "a") != bare


def test_times_and_owners_do_not_count_but_names_modes_and_links_do(place: Path) -> None:
    tree = directory(place / "a")
    assert directory(place / "b") == tree
    (place / "b" / "bin" / "tool").chmod(0o644)
    assert tree_digest(place / "b") != tree
    (place / "b" / "bin" / "tool").chmod(0o755)
    assert tree_digest(place / "b") == tree
    (place / "b" / "lib").unlink()
    (place / "b" / "lib").symlink_to("/bin")
    assert tree_digest(place / "b") != tree

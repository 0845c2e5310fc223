from __future__ import annotations

import stat
from pathlib import Path

import pytest

from fallow.errors import NotAvailableError, UsageError
from fallow.images.build import Source, build, identity, source_of


@pytest.fixture
def apptainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An Apptainer that writes its words into what it makes, or fails if there is a file `broken`."""
    program = tmp_path / "bin" / "apptainer"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\n[ ! -e "$(dirname "$0")/broken" ] || { echo "FATAL: no such tag" >&2; exit 255; }\n'
        'for last; do case $last in *.sif) target=$last ;; esac; done\necho "$*" >"$target"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program


def test_each_kind_of_source_is_known(tmp_path: Path) -> None:
    sif, definition, directory, layout = (tmp_path / name for name in ("a.sif", "a.def", "rootfs", "layout"))
    sif.write_bytes(b"#!/usr/bin/env run-singularity\n\0SIF_MAGIC\0more")
    definition.write_text("Bootstrap: docker\nFrom: python:3.12\n")
    directory.mkdir()
    layout.mkdir()
    (layout / "oci-layout").write_text("{}")
    (tmp_path / "a.tar").write_bytes(b"tar")
    shown = {
        str(sif): "file a.sif",
        str(definition): "definition a.def",
        str(directory): "directory rootfs",
        str(layout): "oci:layout",
        f"oci-archive:{tmp_path}/a.tar": "oci-archive:a.tar",
        "docker://python:3.12": "docker://python:3.12",
        "oras://registry.example.org:5000/tools/bwa@sha256:" + "a" * 64: None,
    }
    for text, words in shown.items():
        assert source_of(text).shown == (words or text)
    assert [source_of(text).is_sif for text in shown] == [True] + [False] * 6


@pytest.mark.parametrize(
    "text",
    [
        "nothing",
        "http://x/y",
        "docker://user:password@host/x",
        "docker://-x",
        "docker://a b",
        "oci-archive:/nothing",
        "shub://x/y",
    ],
)
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        source_of(text)


def test_an_image_is_made_of_a_definition_and_pulled_from_a_registry(tmp_path: Path, apptainer: Path) -> None:
    target = tmp_path / "made.sif"
    build(Source("/x/a.def", "definition a.def"), target)
    assert target.read_text() == f"build --force {target} /x/a.def\n"
    build(Source("oras://host/x", "oras://host/x"), target)
    assert target.read_text() == f"pull {target} oras://host/x\n"


def test_what_apptainer_says_is_told(tmp_path: Path, apptainer: Path) -> None:
    apptainer.with_name("broken").touch()
    with pytest.raises(UsageError, match="cannot make an image of docker://x: FATAL: no such tag"):
        build(Source("docker://x", "docker://x"), tmp_path / "made.sif")


def test_a_missing_apptainer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotAvailableError, match="Apptainer is not installed here"):
        build(Source("docker://x", "docker://x"), tmp_path / "made.sif")


def test_a_directory_is_known_again_until_it_changes(tmp_path: Path) -> None:
    directory = tmp_path / "rootfs"
    directory.mkdir()
    (directory / "tool").write_text("1")
    source = source_of(str(directory))
    before = identity(source)
    (directory / "tool").touch()
    assert identity(source) == before
    (directory / "tool").chmod((directory / "tool").stat().st_mode | stat.S_IXUSR)
    assert identity(source) != before


def test_what_lies_elsewhere_is_never_known_again(tmp_path: Path) -> None:
    definition = tmp_path / "a.def"
    definition.write_text("Bootstrap: docker\n")
    assert identity(source_of(str(definition))) is None
    assert identity(source_of("docker://python:3.12")) is None

"""A small source tree with image definitions, a cache of its own, and programs on PATH that stand in for faults."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fallow_testbed.images.builder import Builder
from fallow_testbed.images.cache import ImageCache
from fallow_testbed.progress import Progress

DEBIAN = """
summary = "a tree"
disk_mb = 1
[debian]
suites = ["trixie"]
packages = ["busybox-static"]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A source tree with one image `rootfs` and one that is copied from it, `second`."""
    for name, text in {
        "rootfs": DEBIAN,
        "second": 'summary = "a copy"\ndisk_mb = 1\nbase = "rootfs"\n',
    }.items():
        folder = tmp_path / "source" / "containers" / "images" / name
        folder.mkdir(parents=True)
        (folder / "definition.toml").write_text(text)
    return tmp_path / "source"


@pytest.fixture
def cache(tmp_path: Path) -> ImageCache:
    """An empty cache."""
    return ImageCache(tmp_path / "cache")


@pytest.fixture
def builder(checkout: Path, cache: ImageCache) -> Callable[[], Builder]:
    """Makes a builder as a new process would have it: nothing remembered."""
    return lambda: Builder(checkout, cache, Progress())


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Puts a Python script on PATH under the name of a program."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def put(name: str, body: str) -> None:
        path = folder / name
        path.write_text(f"#!{sys.executable}\nimport sys, os, pathlib, time\n{body}\n")
        path.chmod(0o755)

    return put


@pytest.fixture
def debian(program: Callable[[str, str], None], tmp_path: Path) -> Callable[[], int]:
    """An mmdebstrap that makes a tree at once; returns how often it ran."""
    count = tmp_path / "runs"
    program(
        "mmdebstrap",
        f"""
tree = pathlib.Path(sys.argv[sys.argv.index("trixie") + 1])
(tree / "etc").mkdir()
(tree / "etc" / "debian_version").write_text("13\\n")
with open({str(count)!r}, "a") as runs:
    runs.write("x")
""",
    )
    return lambda: len(count.read_text()) if count.exists() else 0

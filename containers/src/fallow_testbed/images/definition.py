"""What an image is made of, as its `definition.toml` says, and the digest that names the result."""

from __future__ import annotations

import hashlib
import os
import platform
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import model_validator

from fallow.errors import SettingsError
from fallow.settings import Settings, load

FORMAT = "1"
"""Raised when the way of building changes so that the same definition gives a different image."""

_SKIPPED = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"}


class Debian(Settings):
    """Debian packages, installed from the mirror that the machine itself uses."""

    suites: tuple[str, ...]
    """Suites, the base one first; a file `preferences` beside the definition pins packages of the others."""
    packages: tuple[str, ...]
    """Packages beyond the essential ones; nothing that is only recommended comes along."""
    exclude: tuple[str, ...] = ()
    """Patterns of paths that are not unpacked, as in dpkg's `path-exclude`."""


class Python(Settings):
    """Python packages, downloaded by the machine's pip and installed without a network."""

    version: str
    """Version of the Python inside the image, as in `3.13`."""
    interpreter: str
    """Path of the interpreter, inside the image, that the packages are for."""
    venv: str = ""
    """Virtual environment to create first; empty for none."""
    requirements: str = ""
    """Pinned file with hashes under `requirements/`; empty for none."""
    parts: tuple[str, ...] = ()
    """Folders of this project whose wheels go in."""
    finish: str = ""
    """Path, inside the image, of a script that is run at the end with the image's root directory as argument."""


class Package(Settings):
    """Files of one Debian package that is not installed."""

    name: str
    """The package, in the release that this machine runs."""
    files: dict[str, str]
    """Where each file goes, by its path in the package; unpacked when only the former ends in `.gz`."""


class Definition(Settings):
    """One image. It starts from Debian packages or files, a copy of another image, or empty over another."""

    summary: str
    """What the image is for, in a line."""
    base: str = ""
    """Image whose content is copied first."""
    over: str = ""
    """Image beneath; the result holds only what comes on top of it."""
    debian: Debian | None = None
    """Debian packages to start from."""
    package: Package | None = None
    """Debian package to take files from."""
    python: Python | None = None
    """Python packages to add."""
    programs: str = ""
    """Pinned file under `requirements/` of wheels whose programs go to /usr/local/bin."""
    sif: bool = False
    """Whether the result is packed as one SIF file instead of a directory."""
    disk_mb: int
    """Free disk space in MB without which the build is not begun."""

    @model_validator(mode="after")
    def _one_start(self) -> Definition:
        starts = [name for name in ("base", "over", "debian", "package") if getattr(self, name)]
        if len(starts) != 1:
            raise ValueError(
                f"exactly one of base, over, debian and package must be given, not {starts or 'none'}"
            )
        return self


def read_definitions(folder: Path) -> dict[str, Definition]:
    """Read every `<name>/definition.toml` of a folder.

    Raises:
        SettingsError: A file does not fit, or names an image that has no definition.
    """
    found = {path.parent.name: load(Definition, path) for path in sorted(folder.glob("*/definition.toml"))}
    for name, definition in found.items():
        for other in filter(None, (definition.base, definition.over)):
            if other not in found:
                raise SettingsError(
                    f"The image {name} builds on {other}, which has no definition in {folder}."
                )
    return found


def files_below(root: Path) -> Iterator[Path]:
    """Yield the regular files and links below a folder in a fixed order, without caches of tools."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        yield from (Path(folder) / name for name in sorted(names) if not name.endswith(".pyc"))


def digest_of(folders: Iterable[Path], files: Iterable[Path], beneath: Mapping[str, str]) -> str:
    """Hash what an image is made of: names, modes and content of files, and the digests of other images.

    Args:
        folders: Each with all that lies below it; only paths relative to the folder count.
        files: Single files.
        beneath: Name and digest of the images that it builds on.

    Returns:
        64 hexadecimal digits.
    """
    total = hashlib.sha256(f"{FORMAT} {platform.machine()}\n".encode())
    for folder in folders:
        for path in files_below(folder):
            _add(total, path, str(path.relative_to(folder)))
    for path in files:
        _add(total, path, path.name)
    for name, digest in sorted(beneath.items()):
        total.update(f"image {name} {digest}\n".encode())
    return total.hexdigest()


def _add(total: hashlib._Hash, path: Path, name: str) -> None:
    if path.is_symlink():
        total.update(f"link {name} {path.readlink()}\n".encode())
        return
    runnable = bool(path.stat().st_mode & stat.S_IXUSR)
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    total.update(f"file {name} {runnable} {content}\n".encode())

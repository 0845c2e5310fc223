"""Copies of images that a site has already: SIF files, or unpacked directories as on CVMFS. Used when identical only.

A file is identical when it has the image's digest. Of a directory that says nothing, so somebody whom the site trusts must
have signed which files the image holds: then the directory is identical when it holds just these.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Callable

from fallow.files import sha256_of
from fallow.images.messages import Published
from fallow.images.signing import is_signed
from fallow.images.tree import tree_digest

log = logging.getLogger(__name__)

_DOCKER = re.compile(r"docker://([a-z0-9][A-Za-z0-9._/:-]*)")
_DEFAULT_REGISTRY = "registry.hub.docker.com"
"""As unpacked.cern.ch calls the registry of names without one."""


def find(
    digest: str, places: Sequence[Path], signers: Sequence[str], published: Callable[[], Iterable[Published]]
) -> Path | None:
    """A copy of an image that is identical to it, a SIF or a directory; None where there is none.

    Args:
        digest: The image, 64 hexadecimal digits.
        places: Directories that hold copies.
        signers: Public keys of those whom the site trusts to say which files an image holds.
        published: Asks the hub what publishers say of the image; called only where a directory may be of use.
    """
    for place in places:
        found = _file(place / f"sha256-{digest}.sif", digest)
        if found is not None:
            return found
    if not signers or not any(place.is_dir() for place in places):
        return None
    for said in published():
        if _is_trusted(said, digest, signers):
            for place in places:
                for directory in _directories(place, digest, said.source):
                    if _holds(directory, said.tree or ""):
                        return directory
    return None


def _file(path: Path, digest: str) -> Path | None:
    try:
        if path.is_file() and sha256_of(path) == digest:
            return path
    except OSError as error:
        log.warning("the copy %s cannot be read: %s", path, error.strerror)
        return None
    if path.exists():
        log.warning("the copy %s is not the image and is not used", path)
    return None


def _is_trusted(said: Published, digest: str, signers: Sequence[str]) -> bool:
    if said.tree is None or said.key is None or said.signature is None or said.key not in signers:
        return False
    return is_signed(f"sha256:{digest}", said.tree, said.key, said.signature)


def _directories(place: Path, digest: str, source: str) -> Iterator[Path]:
    """Where an unpacked image may lie: below its digest, or below its name in a registry, as on unpacked.cern.ch."""
    yield place / f"sha256-{digest}"
    found = _DOCKER.fullmatch(source)
    if found and ".." not in found[1]:
        first, slash, _ = found[1].partition("/")
        if slash and ("." in first or ":" in first):
            yield place / found[1]
        else:
            yield place / _DEFAULT_REGISTRY / (found[1] if slash else f"library/{found[1]}")


def _holds(directory: Path, tree: str) -> bool:
    if not directory.is_dir():
        return False
    try:
        if tree_digest(directory) == tree:
            return True
    except OSError as error:
        log.warning("the copy %s cannot be read: %s", directory, error.strerror)
        return False
    log.warning("the copy %s is not the image and is not used", directory)
    return False

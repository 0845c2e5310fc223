"""Images of the testbed: built from Debian and Python packages, cached by the digest of their definition."""

from __future__ import annotations

from pathlib import Path

from fallow_testbed.images.builder import Builder
from fallow_testbed.images.cache import Image, ImageCache, cache_root
from fallow_testbed.images.checkout import find_checkout
from fallow_testbed.progress import Progress

__all__ = ["Builder", "Image", "ImageCache", "builder", "cache_root", "ensure_sif", "testbed_layers"]


def builder(progress: Progress | None = None) -> Builder:
    """The builder of this source tree's images in the user's cache."""
    return Builder(find_checkout(), ImageCache(cache_root()), progress or Progress())


def testbed_layers() -> tuple[Path, ...]:
    """Root directories of a testbed host, the top one first; built if they are missing."""
    found = builder()
    found.ensure(["parts"])
    return found.catalogue.layers("parts")


def ensure_sif(name: str, progress: Progress | None = None) -> Image:
    """A SIF image, built if it is missing."""
    return builder(progress).ensure([name])[name]

"""Which images are mounted somewhere on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fallow_testbed.images.cache import Image


def in_use(images: Iterable[Image]) -> set[Path]:
    """Paths of those images that are mounted in the mount namespace of any process."""
    wanted = {image.path for image in images}
    seen: set[str] = set()
    found: set[Path] = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            namespace = str((process / "ns" / "mnt").readlink())
            if namespace in seen:
                continue
            mounts = (process / "mountinfo").read_text()
        except OSError:  # it ended meanwhile
            continue
        seen.add(namespace)
        found |= {path for path in wanted if f"{path}/" in mounts}
    return found

"""Fetches one image that a payload waits for: `python -m fallow_pilots.node.fetch SPEC VERIFIED DIGEST SOURCES`.

A process of its own on a miss, so that the pilot goes on meanwhile and stays small.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from fallow.errors import FallowError
from fallow.images.messages import Published
from fallow_pilots.images import copies
from fallow_pilots.images.hub import HubImages
from fallow_pilots.images.store import ImageStore, fingerprint
from fallow_pilots.node.hub import hub_of
from fallow_pilots.node.registry import Registries
from fallow_pilots.node.unpack import fuse_is_there, unpacked
from fallow_pilots.spec import PilotSpec


def store_of(spec: PilotSpec) -> ImageStore:
    """The centre's image store, filled from the hub."""
    opener = HubImages(hub_of(spec), spec.ca_file).open
    quota_bytes = None if spec.image_quota_mb is None else spec.image_quota_mb * 1_000_000
    return ImageStore(spec.image_store_dir, opener, quota_bytes=quota_bytes)


def fetch(spec: PilotSpec, verified: Path, digest: str, sources: Path) -> Path:
    """Have an image here, checked, and mark it as checked on this node: a copy of the site's, or in the centre's store.

    The mark has three lines: the image's fingerprint, the image, and what is run, which is a directory where the node has
    no FUSE to mount the image with.

    Args:
        spec: The pilot's specification.
        verified: Where the mark goes.
        digest: The image, 64 hexadecimal digits.
        sources: A file that says in which registries it is said to lie.
    """
    if spec.registries and f"sha256:{digest}" not in spec.images:
        said = sources.read_text(encoding="ascii", errors="replace") if sources.exists() else ""
        registries = Registries(spec.registries, spec.registry_ca_file)
        registries.require(digest, said.replace(",", " ").split())
    copy = copies.find(digest, spec.image_copies, spec.image_signers, lambda: _published(spec, digest))
    path = copy or store_of(spec).ensure(digest, spec.pilot)
    run = path
    if not path.is_dir() and not fuse_is_there():
        run = unpacked(path, digest, verified.parent / "unpacked")
    draft = verified / f".{digest}"
    draft.write_text(f"{fingerprint(path)}\n{path}\n{run}\n", encoding="utf-8")
    draft.replace(verified / digest)
    return path


def _published(spec: PilotSpec, digest: str) -> Iterator[Published]:
    """What publishers say of an image; nothing where the hub cannot be asked: then it is fetched as any other."""
    from fallow.images.client import ImageClient

    try:
        found = ImageClient(hub_of(spec)).image(f"sha256:{digest}")
    except FallowError as error:
        logging.getLogger(__name__).warning("the hub does not say who published sha256:%s: %s", digest, error)
        return
    yield from found.published if found else ()


def main(arguments: list[str] | None = None) -> int:
    """Entry point; a failure is one line on standard error and a status other than 0."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    spec, verified, digest, sources = sys.argv[1:] if arguments is None else arguments
    try:
        fetch(PilotSpec.read(Path(spec)), Path(verified), digest, Path(sources))
    except FallowError as error:
        logging.getLogger(__name__).error("%s", error)  # noqa: TRY400 - a sentence for the site admin, no traceback
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

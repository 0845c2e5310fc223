"""Publishes an image from whatever it is made from: build, digest, signature, upload, tag. Each step may be repeated."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Callable, NamedTuple

from fallow.errors import UsageError
from fallow.files import private_directory, write_private
from fallow.images.architecture import architecture_of
from fallow.images.build import Source, build, identity
from fallow.images.client import ImageClient
from fallow.images.messages import Statement
from fallow.images.names import TagName, is_digest
from fallow.images.signing import sign
from fallow.queue.images import Digests, cache_file, publish

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from fallow.client import ClientSettings
    from fallow.hub import HubClient

_REMEMBERED = 1000


class Wishes(NamedTuple):
    """What is wanted beside the image itself."""

    labels: Mapping[str, str]
    tags: Sequence[TagName]
    move: bool
    key: Ed25519PrivateKey | None
    keep: Path | None
    """Where to leave the SIF that was built."""


class Watch(NamedTuple):
    """Who is told how far it is."""

    step: Callable[[str, int], None]
    """Takes the name of a step and its size in bytes, 0 where that is not known."""
    sent: Callable[[int], None]
    """Takes how many more bytes have been sent."""


class Done(NamedTuple):
    """What has been published."""

    digest: str
    bytes: int
    sent: bool
    """Whether it was sent now; else the hub had it."""
    tags: list[str]


def publish_source(
    hub: HubClient, settings: ClientSettings, source: Source, wishes: Wishes, watch: Watch
) -> Done:
    """Make an image of `source` where it is none yet, send it, say what it is, and tag it.

    Raises:
        FallowError: It cannot be made, sent or tagged; whatever has been done needs not be done again.
    """
    made_from = None if source.is_sif or wishes.key or wishes.keep else identity(source)
    if made_from is not None and (found := _known(hub, made_from)) is not None:
        digest, size = found
        known = ImageClient(hub).architecture(digest)
        statement = Statement(labels=dict(wishes.labels), source=source.shown, architecture=known)
        ImageClient(hub).state(digest, statement)
        return Done(digest, size, False, _tagged(hub, digest, wishes))
    with tempfile.TemporaryDirectory(prefix="build-", dir=private_directory(cache_file().parent)) as work:
        path = Path(source.apptainer)
        if not source.is_sif:
            watch.step("building", 0)
            path = _target(wishes.keep, Path(work))
            build(source, path)
        watch.step("computing the digest", 0)
        digest = Digests(cache_file()).of(path)
        statement = Statement(
            labels=dict(wishes.labels), source=source.shown, architecture=architecture_of(path)
        )
        if wishes.key is not None:
            watch.step("signing", 0)
            tree = _tree(path, Path(work) / "tree")
            public, signature = sign(wishes.key, digest, tree)
            statement = statement.model_copy(update={"tree": tree, "key": public, "signature": signature})
        size = path.stat().st_size
        watch.step("sending", size)
        sent = publish(hub, path, digest, ca_file=settings.ca_file, statement=statement, watch=watch.sent)
        if made_from is not None:
            _remember(made_from, digest)
        return Done(digest, size, sent, _tagged(hub, digest, wishes))


def _tagged(hub: HubClient, digest: str, wishes: Wishes) -> list[str]:
    client = ImageClient(hub)
    tags = [client.set_tag(name, digest, move=wishes.move) for name in wishes.tags]
    return [str(TagName(tag.owner, tag.name, tag.tag, tag.architecture)) for tag in tags]


def _known(hub: HubClient, made_from: str) -> tuple[str, int] | None:
    """The image that was made from just this before, and its size, if the hub has it still."""
    digest = _memory().get(made_from)
    found = hub.image_url(digest) if digest is not None and is_digest(digest) else None
    return (digest, found.bytes) if digest is not None and found is not None else None


def _remember(made_from: str, digest: str) -> None:
    known = {**_memory(), made_from: digest}
    write_private(_built(), json.dumps(dict(list(known.items())[-_REMEMBERED:])))


def _memory() -> dict[str, str]:
    """What images were made from, and their digests; a damaged memory is started anew."""
    try:
        known = json.loads(_built().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in known.items()} if isinstance(known, dict) else {}


def _built() -> Path:
    return cache_file().with_name("built.json")


def _target(keep: Path | None, work: Path) -> Path:
    if keep is None:
        return work / "image.sif"
    if keep.exists():
        raise UsageError(f"{keep} is there already.", remedy="Name a file that is not, or remove it.")
    return keep


def _tree(image: Path, into: Path) -> str:
    """The digest of the files in an image, which has to be unpacked for that."""
    from fallow.images.tree import tree_digest

    build(Source(str(image), image.name), into, unpacked=True)
    return tree_digest(into)

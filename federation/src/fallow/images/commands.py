"""`fallow image …`: publish images, name them, see what there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fallow.errors import FallowError, UsageError
from fallow.output import show

if TYPE_CHECKING:
    from fallow.images.client import ImageClient
    from fallow.images.messages import Image
    from fallow.images.publish import Watch

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:  # noqa: ARG001 - click's
    """Tags that begin so; none where the hub cannot be asked now."""
    from fallow.images.names import TagName

    try:
        tags = [str(TagName(tag.owner, tag.name, tag.tag, tag.architecture)) for tag in _client().tags()]
    except FallowError:
        return []
    return [name for name in tags if name.startswith(begun)]


image_argument = click.argument("image", shell_complete=_complete)
tag_argument = click.argument("tag", shell_complete=_complete)


@click.group()
def image() -> None:
    """Publish images for jobs, and name them.

    An image is a SIF; its digest is its name and what runs. OWNER/NAME:TAG is a tag: a name for a digest that is resolved
    when jobs are submitted. OWNER is you, `<centre>.<user>`, where it is left out, or a centre. A tag may mean one image for
    each architecture: OWNER/NAME:TAG@aarch64.
    """


@image.command()
@click.argument("source")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="[OWNER/]NAME[:TAG]",
    help="Name it so; may be given several times.",
)
@click.option("--move", is_flag=True, help="Move tags that mean another image.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="KEY=VALUE",
    help="Say this of it; may be given several times.",
)
@click.option(
    "--sign-with",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Sign it with this OpenSSH key (ssh-keygen -t ed25519).",
)
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the SIF that is built in this file.")
@json_option
def publish(
    source: str,
    tags: tuple[str, ...],
    move: bool,
    labels: tuple[str, ...],
    sign_with: Path | None,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Publish an image made of SOURCE; interrupted, run it again.

    SOURCE is a SIF, a definition, a directory with the files of the image, docker://… or oras://… in a registry,
    oci:DIRECTORY, oci-archive:FILE or docker-archive:FILE.
    """
    from fallow.client import client_settings, connect
    from fallow.images.build import source_of
    from fallow.images.names import parse_tag
    from fallow.images.publish import Wishes, publish_source
    from fallow.images.signing import load_key

    found = source_of(source)
    key = load_key(sign_with) if sign_with else None
    wishes = Wishes(_labels(labels), [parse_tag(tag) for tag in tags], move, key, keep)
    settings = client_settings()
    with _progress(quiet=as_json) as watch:
        done = publish_source(connect(settings), settings, found, wishes, watch)
    if as_json:
        click.echo(json.dumps(done._asdict(), indent=2))
        return
    click.echo(f"{done.digest}  {done.bytes} bytes, {'sent' if done.sent else 'was there already'}")
    for tag in done.tags:
        click.echo(f"{tag}")


@image.command(name="list")
@click.option("--mine", is_flag=True, help="Only what you have published.")
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="The most images to list."
)
@json_option
def list_images(mine: bool, limit: int, as_json: bool) -> None:
    """List images that have been published, the latest first, with their tags."""
    from itertools import islice

    client = _client()
    me = _me() if mine else ""
    found = (
        one for one in client.images() if not mine or any(said.publisher == me for said in one.published)
    )
    shown = list(islice(found, limit))
    if as_json:
        rows = [{**one.model_dump(mode="json"), "architecture": one.architecture} for one in shown]
        click.echo(json.dumps(rows, indent=2))
        return
    show(
        [_row(one) for one in shown],
        ["digest", "architecture", "MB", "publisher", "published", "source", "tags"],
        as_json=False,
    )


@image.command(name="show")
@image_argument
@json_option
def show_image(image: str, as_json: bool) -> None:
    """Show what is known of IMAGE, a digest or a tag, and whether its signatures hold."""
    from fallow.images.signing import fingerprint, is_signed

    client = _client()
    digest = client.resolve(image)
    found = client.image(digest)
    if found is None:
        raise UsageError(f"The hub has no image {digest}.", remedy="Publish it: fallow image publish")
    signed = [
        bool(said.key and said.signature and is_signed(digest, said.tree, said.key, said.signature))
        for said in found.published
    ]
    if as_json:
        document = {**found.model_dump(mode="json"), "architecture": found.architecture}
        for one, good in zip(document["published"], signed):
            one["signature_holds"] = good
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(
        f"digest     {found.digest}\nbytes      {found.bytes}\nfor        {found.architecture}\n"
        f"tags       {', '.join(found.tags) or 'none'}"
    )
    for said, good in zip(found.published, signed):
        click.echo(
            f"published  {said.created:%Y-%m-%d %H:%M} UTC by {said.publisher}, from {said.source or 'unknown'}"
        )
        for label, value in sorted(said.labels.items()):
            click.echo(f"  {label} = {value}")
        if said.key:
            click.echo(
                f"  signed by {fingerprint(said.key)}" + ("" if good else ": THE SIGNATURE DOES NOT HOLD")
            )


@image.command()
@image_argument
@tag_argument
@click.option("--move", is_flag=True, help="Move a tag that means another image.")
@json_option
def tag(image: str, tag: str, move: bool, as_json: bool) -> None:
    """Let TAG mean IMAGE, a digest or another tag. You may set your own tags, and your centre's if you speak for it."""
    from fallow.images.names import TagName, parse_tag

    client = _client()
    found = client.set_tag(parse_tag(tag), client.resolve(image), move=move)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
    else:
        name = TagName(found.owner, found.name, found.tag, found.architecture)
        click.echo(f"{name} means {found.digest}")


@image.command()
@tag_argument
def untag(tag: str) -> None:
    """Take TAG away; the image stays."""
    from fallow.images.names import parse_tag

    name = parse_tag(tag)
    _client().untag(name)
    click.echo(f"{name} is gone.")


@image.command()
@click.option("--owner", help="Only tags of this centre or person.")
@json_option
def tags(owner: str | None, as_json: bool) -> None:
    """List all tags and what they mean."""
    rows = [one.model_dump(mode="json") for one in _client().tags() if owner in (None, one.owner)]
    for row in rows:
        row["name"] = f"{row['owner']}/{row['name']}:{row.pop('tag')}"
    show(rows, ["name", "architecture", "digest", "set_by", "changed"], as_json=as_json)


@image.command()
@image_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def remove(image: str, yes: bool, as_json: bool) -> None:
    """Take back IMAGE, which you have published. It is gone when nobody else has published it.

    An image that has tags, or that jobs in the queue need, is not removed.
    """
    client = _client()
    digest = client.resolve(image)
    if not yes:
        click.confirm(f"Remove {digest}?", abort=True, err=True)
    gone = client.remove(digest)
    if as_json:
        click.echo(json.dumps({"digest": digest, "removed": gone}))
    else:
        click.echo(f"{digest} is gone." if gone else f"{digest} stays, for others have published it too.")


def _client() -> ImageClient:
    from fallow.client import connect
    from fallow.images.client import ImageClient

    return ImageClient(connect())


def _me() -> str:
    from fallow.client import connect
    from fallow.messages import SCOPE_USER
    from fallow.queue.session import QueueToken

    return QueueToken(connect().exchange(SCOPE_USER).token, 0).owner


def _row(found: Image) -> dict[str, Any]:
    first = found.published[0]
    others = len(found.published) - 1
    return {
        "digest": found.digest,
        "architecture": found.architecture,
        "MB": round(found.bytes / 1e6, 1),
        "publisher": first.publisher + (f" and {others} more" if others else ""),
        "published": f"{first.created:%Y-%m-%d %H:%M}",
        "source": first.source,
        "tags": " ".join(found.tags),
    }


def _labels(words: tuple[str, ...]) -> dict[str, str]:
    from pydantic import TypeAdapter, ValidationError

    from fallow.images.messages import MOST_LABELS, LabelKey, LabelValue

    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        try:
            TypeAdapter(LabelKey).validate_python(key)
            TypeAdapter(LabelValue).validate_python(value)
        except ValidationError:
            equals = ""
        if not equals:
            raise UsageError(
                f"{word!r} is no label.",
                remedy="Write KEY=VALUE: the key in lower case, the value in one line.",
            )
        found[key] = value
    if len(found) > MOST_LABELS:
        raise UsageError(f"{len(found)} labels are too many.", remedy=f"Give at most {MOST_LABELS}.")
    return found


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Watch]:
    """A bar on standard error, where somebody looks at one."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from fallow.images.publish import Watch

    screen = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen, transient=True, disable=quiet or not screen.is_terminal) as bar:
        task = bar.add_task("")

        def step(name: str, size_bytes: int) -> None:
            bar.reset(task, description=name, total=size_bytes or None)

        yield Watch(step, lambda count: bar.advance(task, count))

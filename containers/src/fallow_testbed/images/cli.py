"""`fallow testbed images`: build, list and prune."""

from __future__ import annotations

import datetime

import click

from fallow import output
from fallow_testbed.images import builder
from fallow_testbed.images.cache import Image
from fallow_testbed.images.usage import in_use
from fallow_testbed.progress import Progress

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def images() -> None:
    """Build and look after the images that the testbed runs from."""


@images.command()
@click.argument("names", nargs=-1)
@json_option
def build(names: tuple[str, ...], as_json: bool) -> None:
    """Build the images NAMES, or all, where the cache does not have them. Needs root."""
    found = builder(Progress())
    built = found.ensure(names or found.catalogue.definitions)
    _show([_row(image) for image in built.values()], as_json=as_json)


@images.command(name="list")
@json_option
def list_images(as_json: bool) -> None:
    """Show the images in the cache; those that the source tree defines now are `current`."""
    found = builder().catalogue
    current = {found.digest(name) for name in found.definitions}
    rows = [{**_row(image), "current": image.digest in current} for image in found.cache.all()]
    _show(rows, "current", as_json=as_json)


@images.command()
@click.option("--all", "everything", is_flag=True, help="Remove the current images too.")
@json_option
def prune(everything: bool, as_json: bool) -> None:
    """Remove images that the source tree no longer defines; those that a running testbed uses stay."""
    found = builder().catalogue
    current = set() if everything else {found.digest(name) for name in found.definitions}
    old = [image for image in found.cache.all() if image.digest not in current]
    used = in_use(old)
    doomed = [image for image in old if image.path not in used]
    for image in doomed:
        with found.cache.lock(image.name):
            found.cache.remove(image)
    for image in old:
        if image.path in used:
            click.echo(f"kept {image.path.name}: a running testbed uses it", err=True)
    _show([_row(image) for image in doomed], as_json=as_json)


_COLUMNS = ["name", "digest", "kind", "size_mb", "sha256", "built"]


def _show(rows: list[dict[str, object]], *further: str, as_json: bool) -> None:
    shown = rows if as_json else [{**row, "sha256": str(row["sha256"])[:12]} for row in rows]
    output.show(shown, [*_COLUMNS, *further], as_json=as_json)


def _row(image: Image) -> dict[str, object]:
    return {
        "name": image.name,
        "digest": image.digest[:12],
        "kind": image.kind,
        "size_mb": round(image.bytes / 2**20),
        "sha256": image.sha256,
        "built": datetime.datetime.fromtimestamp(image.built, tz=datetime.UTC).strftime("%Y-%m-%d %H:%M"),
        "path": str(image.path),
    }

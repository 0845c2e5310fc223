"""`fallow pilot attach`."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

import click

from fallow.errors import UsageError
from fallow_pilots.relay.attach import Wanted, attach
from fallow_pilots.relay.terms import places, targets_of


@click.command("attach")
@click.argument("destination", metavar="USER@HOST")
@click.option("--policy", "policy", metavar="PATH", help="Where the centre's policy lies on that host.")
@click.option(
    "--also", multiple=True, metavar="HOST:PORT", help="A further place to lead to; may be repeated."
)
@click.option("-o", "options", multiple=True, metavar="NAME=VALUE", help="An option of ssh; may be repeated.")
def attach_login(
    destination: str, policy: str | None, also: tuple[str, ...], options: tuple[str, ...]
) -> None:
    """Lead a login host out that only takes ssh: by this machine, to the hub and its store and nowhere else.

    USER@HOST is the launcher's account there, as ssh knows it; the hub is that of this machine's client. One connection,
    which is made again when it is lost, until this command is interrupted. Exit code 4: that host forbids it.
    """
    from fallow.client import client_settings
    from fallow.hub import HubClient

    if destination.startswith("-"):
        raise UsageError(f"{destination} is no host.", remedy="Name it as USER@HOST.")
    for place in also:
        if not place.rpartition(":")[2].isdigit():
            raise UsageError(f"{place} is no place to lead to.", remedy="Name it as HOST:PORT.")
    settings = client_settings()
    federation = HubClient(settings, token=str).federation()
    targets = targets_of(places(settings.hub, federation, also))
    wanted = Wanted(destination, policy, settings.hub, targets, options)
    with tempfile.TemporaryDirectory(prefix="fallow-attach-") as folder:
        asyncio.run(_until_asked(wanted, Path(folder)))


async def _until_asked(wanted: Wanted, folder: Path) -> None:
    task = asyncio.ensure_future(attach(wanted, folder, click.echo))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task

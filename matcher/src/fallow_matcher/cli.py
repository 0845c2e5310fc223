"""`fallow hub …`: what the operator of a hub runs."""

from __future__ import annotations

from pathlib import Path

import click

from fallow.output import show
from fallow_matcher import settings as hub_settings

DEFAULT_OUT = Path("/etc/fallow/condor")

settings_option = click.option(
    "--settings",
    "settings_path",
    type=click.Path(path_type=Path),
    default=hub_settings.DEFAULT_PATH,
    show_default=True,
    envvar="FALLOW_HUB_SETTINGS",
    help="The hub's settings file.",
)
out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_OUT,
    show_default=True,
    envvar="FALLOW_HUB_CONDOR",
    help="Folder of the HTCondor configuration.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


@click.group()
def hub() -> None:
    """Run the hub of a federation: its HTCondor pool and its gateway."""


@hub.command()
@settings_option
@out_option
@json_option
def configure(settings_path: Path, out: Path, as_json: bool) -> None:
    """Write the hub's HTCondor configuration, missing signing keys and the daemons' token."""
    from fallow_matcher.htcondor.configure import configure as write_all

    written = write_all(hub_settings.read(settings_path), out.absolute())
    rows = [{"kind": "file", "name": str(path)} for path in written.files]
    rows += [{"kind": "new signing key", "name": key} for key in written.new_keys]
    show(rows, ["kind", "name"], as_json=as_json)


@hub.command()
@settings_option
@out_option
def gateway(settings_path: Path, out: Path) -> None:
    """Serve the gateway over TLS until a signal ends it."""
    from fallow_matcher.gateway.serve import serve
    from fallow_matcher.htcondor import revocation

    serve(hub_settings.read(settings_path), out.absolute() / revocation.FILE)

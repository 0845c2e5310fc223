"""`fallow pilot explain-network`."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import click

from fallow.errors import FallowError
from fallow.messages import Federation
from fallow_pilots.centre import Centre
from fallow_pilots.commands.common import as_json, open_centre, with_policy
from fallow_pilots.hops import ATTACHED, SSH, hops, picture


@click.command("explain-network")
@with_policy
@as_json
def explain_network(policy_file: Path | None, as_json: bool) -> None:
    """Say who dials whom, at which port and why, and what a firewall's admin has to allow."""
    centre = open_centre(policy_file)
    found = hops(centre.policy, _federation(centre), socket.gethostname())
    files = centre.policy.files_dir
    if as_json:
        profile = centre.policy.network.profile
        inbound = [hop.row() for hop in found if hop.source == ATTACHED and hop.port == SSH]
        document = {
            "profile": profile,
            "hops": [hop.row() for hop in found],
            "inbound": inbound,
            "files": str(files) if files else None,
        }
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f'network.profile = "{centre.policy.network.profile}"\n')
    click.echo(picture(found, files) + "\n")
    for hop in found:
        click.echo(hop.sentence())
    if files:
        click.echo(
            f"Compute nodes dial nothing: they and the launcher's host leave each other files in {files}."
        )
    if centre.policy.network.attached:
        click.echo("Nothing is dialled from outside but ssh, and nothing outside from this host.")
    else:
        click.echo("Nothing is dialled from outside: no inbound port is needed.")


def _federation(centre: Centre) -> Federation:
    """What the hub says of itself now, or said when it was asked last."""
    try:
        return centre.hub.federation()
    except FallowError:
        known = centre.credentials.remembered().federation
        if known is None:
            raise
        return known

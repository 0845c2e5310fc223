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
from fallow_pilots.hops import hops, picture


@click.command("explain-network")
@with_policy
@as_json
def explain_network(policy_file: Path | None, as_json: bool) -> None:
    """Say who dials whom, at which port and why, and what a firewall's admin has to allow."""
    centre = open_centre(policy_file)
    found = hops(centre.policy, _federation(centre), socket.gethostname())
    if as_json:
        profile = centre.policy.network.profile
        document = {"profile": profile, "hops": [hop.row() for hop in found], "inbound": []}
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f'network.profile = "{centre.policy.network.profile}"\n')
    click.echo(picture(found) + "\n")
    for hop in found:
        click.echo(hop.sentence())
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

"""`fallow pilot`: what a site admin does with the centre's pilots."""

from __future__ import annotations

import click

from fallow_pilots.commands import admits, attach, consent, launch, look, network, stop


@click.group()
def pilot() -> None:
    """Give a centre's spare capacity to the federation, and take it back."""


for command in (
    look.check,
    look.offer,
    admits.admits,
    network.explain_network,
    attach.attach_login,
    launch.run,
    launch.unit,
    consent.consent,
    consent.accounts,
    look.status,
    look.list_pilots,
    look.log_of,
    stop.drain,
    stop.withdraw,
    stop.resume,
):
    pilot.add_command(command)

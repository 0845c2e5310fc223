"""`fallow requests`: what an admin has asked of the centre from the hub's page; it is confirmed by doing it here."""

from __future__ import annotations

import click

HOW = {"withdraw": "fallow pilot withdraw", "resume": "fallow pilot resume"}
"""The commands at the centre that do what is asked for."""


@click.command()
@click.argument("centre")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def requests(centre: str, as_json: bool) -> None:
    """Show what an admin of CENTRE has asked for at the hub's page, and the command that confirms it here.

    Nothing happens by itself: the hub can neither start nor stop a pilot. For who holds the token of the centre's
    launcher or of its admin.
    """
    from fallow.client import connect
    from fallow.output import show

    rows = [
        {
            "asked": request.wanted.value,
            "by": request.by,
            "at": f"{request.at:%Y-%m-%d %H:%M} UTC",
            "why": request.why,
            "done": request.done,
            "confirm": "" if request.done else HOW[request.wanted.value],
        }
        for request in connect().capacity_requests(centre).requests
    ]
    show(rows, ["asked", "by", "at", "why", "done", "confirm"], as_json=as_json)

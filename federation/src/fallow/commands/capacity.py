"""`fallow capacity`: what the centres offer now."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fallow.offers import Offer

INTERVAL_S = 10.0


def rows(offers: list[Offer], now: datetime) -> list[dict[str, Any]]:
    """One row per shape of each offer, by centre; an offer without shapes still gives a row."""
    from fallow.commands.words import from_now

    table = []
    for offer in sorted(offers, key=lambda each: each.centre):
        about: dict[str, Any] = {
            "centre": offer.centre,
            "state": offer.state.value,
            "running": offer.running_pilots,
            "until": from_now((offer.expires - now).total_seconds()),
            "conditions": " ".join(condition.sentence for condition in offer.conditions),
        }
        for shape in offer.shapes:
            gpus = f"{shape.gpus} {shape.gpu_model}".strip() if shape.gpus else ""
            size = {"pilots": shape.count, "cores": shape.cores, "memory_mb": shape.memory_mb, "gpus": gpus}
            table.append({**about, **size})
            about = {**about, "running": None, "until": "", "conditions": ""}  # said once for each offer
        if not offer.shapes:
            table.append(about)
    return table


COLUMNS = ["centre", "state", "pilots", "cores", "memory_mb", "gpus", "running", "until", "conditions"]


@click.command()
@click.option(
    "--json", "as_json", is_flag=True, help="Print the offers as JSON; with --watch, one line each time."
)
@click.option("--watch", is_flag=True, help="Show it again every few seconds until interrupted.")
def capacity(as_json: bool, watch: bool) -> None:
    """Show what each centre offers: pilots, their shape, until when and on what conditions."""
    from datetime import timezone

    from fallow.client import connect
    from fallow.output import show

    hub = connect()
    while True:
        offers = hub.offers()
        if as_json:
            documents = [offer.model_dump(mode="json") for offer in offers]
            click.echo(json.dumps(documents, indent=None if watch else 2))
        else:
            if watch:
                click.clear()
            show(
                rows(offers, datetime.now(timezone.utc)),
                COLUMNS,
                as_json=False,
                title="Spare capacity on offer",
            )
        if not watch:
            return
        time.sleep(INTERVAL_S)

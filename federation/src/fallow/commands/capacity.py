"""`fallow capacity`: what the centres offer now, and what was offered and used."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from fallow.commands.words import Duration

if TYPE_CHECKING:
    from rich.table import Table

    from fallow.capacity import CapacityHistory
    from fallow.hub import HubClient
    from fallow.offers import Offer, Shape

INTERVAL_S = 5.0
CHART_WIDTH = 60
_BARS = "▁▂▃▄▅▆▇█"

COLUMNS = ["centre", "state", "pilots", "each", "running", "until", "conditions"]
HISTORY_COLUMNS = [
    "centre",
    "pilots",
    "offered",
    "running",
    "used",
    "idle",
    "gpus_used",
    "cores_used_over_time",
]


def rows(offers: Sequence[Offer], now: datetime) -> list[dict[str, Any]]:
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
            size = {"pilots": shape.count, "cores": shape.cores, "each": _each(shape)}
            table.append({**about, **size})
            about = {**about, "running": None, "until": "", "conditions": ""}  # said once for each offer
        if not offer.shapes:
            table.append(about)
    return table


def _each(shape: Shape) -> str:
    """What one pilot of a shape brings, in words."""
    parts = [f"{shape.cores} cores", f"{shape.memory_mb} MB"]
    if shape.gpus:
        parts.append(f"{shape.gpus} x {shape.gpu_model or 'GPU'}")
    if shape.disk_mb:
        parts.append(f"{shape.disk_mb} MB scratch")
    if shape.walltime_s is not None:
        parts.append(f"{shape.walltime_s / 3600:.1f} h")
    return ", ".join([*parts, *shape.capabilities])


def history_rows(history: CapacityHistory) -> list[dict[str, Any]]:
    """One row per centre: means over the whole time, and a chart of the cores in use from its begin to its end."""
    table = []
    begin_s, step_s = history.since.timestamp(), history.step_s
    places = max(1, round((history.until.timestamp() - begin_s) / step_s))
    for centre in sorted({point.centre for point in history.points}):
        points = [point for point in history.points if point.centre == centre]
        places_used: list[float | None] = [None] * places
        for point in points:
            place = min(places - 1, max(0, int((point.at.timestamp() - begin_s) / step_s)))
            places_used[place] = point.cores.used
        full = max(max(point.cores.offered, point.cores.running) for point in points)
        table.append({
            "centre": centre,
            "pilots": _mean([point.pilots_running for point in points]),
            "offered": _mean([point.cores.offered for point in points]),
            "running": _mean([point.cores.running for point in points]),
            "used": _mean([point.cores.used for point in points]),
            "idle": _mean([point.cores.idle for point in points]),
            "gpus_used": _mean([point.gpus.used for point in points]),
            "cores_used_over_time": chart(places_used, full),
        })  # fmt: skip
    return table


def chart(values: Sequence[float | None], full: float, width: int = CHART_WIDTH) -> str:
    """Values as bars in one line of text, `full` being the highest bar; a blank where nothing is known."""
    width = min(width, len(values))
    bars = []
    for column in range(width):
        part = values[column * len(values) // width : (column + 1) * len(values) // width]
        known = [value for value in part if value is not None]
        share = sum(known) / len(known) / full if known and full else 0.0
        bars.append(_BARS[min(len(_BARS) - 1, int(share * len(_BARS)))] if known else " ")
    return "".join(bars)


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 1)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch, one line each time.")
@click.option("--watch", is_flag=True, help="Keep showing it, renewed every few seconds, until Ctrl-C.")
@click.option(
    "--since",
    type=Duration(),
    metavar="TIME",
    help="Show what was offered and used in the last TIME, e.g. 7d, 12h or 90m.",
)
def capacity(as_json: bool, watch: bool, since: int | None) -> None:
    """Show what each centre offers: pilots, their shape, until when and on what conditions."""
    from fallow.client import connect
    from fallow.output import show

    if watch and since is not None:
        raise click.UsageError("--watch shows the present, --since the past: give one of them.")
    hub = connect()
    if since is not None:
        history = hub.capacity_history(since)
        if as_json:
            click.echo(history.model_dump_json(indent=2))
        else:
            title = (
                f"Cores from {history.since:%Y-%m-%d %H:%M} to {history.until:%Y-%m-%d %H:%M} UTC, on average"
            )
            show(history_rows(history), HISTORY_COLUMNS, as_json=False, title=title)
    elif watch:
        _watch(hub, as_json)
    elif as_json:
        click.echo(json.dumps(_documents(hub.offers()), indent=2))
    else:
        show(rows(hub.offers(), _now()), COLUMNS, as_json=False, title="Spare capacity on offer")


def _watch(hub: HubClient, as_json: bool) -> None:
    """Show the offers again and again; Ctrl-C is how it ends, and no failure."""
    from fallow.output import keep_showing

    if not as_json:
        keep_showing(hub.offers, _screen, every_s=INTERVAL_S)
        return
    with suppress(KeyboardInterrupt):
        while True:
            click.echo(json.dumps(_documents(hub.offers())))
            time.sleep(INTERVAL_S)


def _screen(offers: Sequence[Offer]) -> Table:
    from fallow.output import table

    now = _now()
    return table(
        rows(offers, now), COLUMNS, title=f"Spare capacity on offer, {now:%H:%M:%S} UTC (Ctrl-C ends)"
    )


def _documents(offers: Sequence[Offer]) -> list[dict[str, Any]]:
    return [offer.model_dump(mode="json") for offer in offers]


def _now() -> datetime:
    return datetime.now(timezone.utc)

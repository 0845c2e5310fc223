"""A campaign summed up: numbers for programs, a page with plots for people. Pure but for the questions to the hub."""

from __future__ import annotations

import html
from collections import Counter, defaultdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from fallow.campaigns.messages import Selection
from fallow.campaigns.views import centres, failures, states
from fallow.html import table, whole

if TYPE_CHECKING:
    from fallow.campaigns.client import CampaignClient

_BINS = 40


def summary(client: CampaignClient, name: str) -> dict[str, Any]:
    """All that a report says; reads every row once."""
    status = client.status(name)
    ended: list[float] = []
    walls: dict[str, list[float]] = defaultdict(list)
    for row in client.rows(name, Selection()):
        if row.ended is not None:
            ended.append(row.ended.timestamp())
        if row.wall_s is not None:
            walls[row.stage].append(row.wall_s)
    one = status.campaign
    spent = sum(sum(found) for found in walls.values())
    return {
        "campaign": one.model_dump(mode="json"),
        "at": datetime.now(timezone.utc).isoformat(),
        "totals": {
            "rows": one.rows,
            "done": one.done,
            "failed": one.failed,
            "retried": status.retried,
            "wall_h": round(spent / 3600, 3),
        },
        "states": states(status),
        "centres": centres(status),
        "failures": failures(status),
        "walltime_s": {
            stage: {
                "mean": round(sum(found) / len(found), 3),
                "longest": max(found),
                "histogram": _histogram(found),
            }
            for stage, found in walls.items()
        },
        "ended": _histogram(ended),
    }


def page(found: dict[str, Any]) -> str:
    """A report as one HTML file that needs nothing else."""
    name = html.escape(found["campaign"]["name"])
    parts = [
        f"<h1>{name}</h1>",
        f"<p>{html.escape(found['campaign']['state'])}. {html.escape(found['campaign']['reason'])}</p>",
        f"<p>{html.escape(found['campaign']['notes'])}</p><p>As of {html.escape(found['at'])}.</p>",
        table([found["totals"]]),
    ]
    for title in ("states", "centres", "failures"):
        parts.append(f"<h2>{title.capitalize()}</h2>{table(found[title])}")
    parts.append(f"<h2>Rows that ended, over time</h2>{_plot(found['ended'], moments=True)}")
    for stage, times in found["walltime_s"].items():
        words = f"Run time of {stage}: mean {times['mean']} s, longest {times['longest']} s"
        parts.append(f"<h2>{html.escape(words)}</h2>{_plot(times['histogram'])}")
    return whole(found["campaign"]["name"], parts)


def _histogram(values: list[float]) -> list[dict[str, float]]:
    """Bins of equal width, each with its lower edge."""
    if not values:
        return []
    low, high = min(values), max(values)
    width = (high - low) / _BINS or 1.0
    counts = Counter(min(_BINS - 1, int((value - low) / width)) for value in values)
    return [{"from": low + width * number, "rows": counts[number]} for number in range(_BINS)]


def _plot(bins: list[dict[str, float]], *, moments: bool = False) -> str:
    if not bins:
        return "<p>None yet.</p>"
    top = max(one["rows"] for one in bins)
    bars = "".join(
        f'<rect x="{15 * number}" y="{150 - 140 * one["rows"] / top:.1f}" width="13" '
        f'height="{140 * one["rows"] / top:.1f}" fill="#2a6"><title>{one["rows"]}</title></rect>'
        for number, one in enumerate(bins)
    )
    first, last = (_edge(bins[at]["from"], moments) for at in (0, -1))
    return (
        f'<svg width="{15 * len(bins)}" height="170">{bars}<text x="0" y="166" font-size="11">{first}</text>'
        f'<text x="{15 * len(bins)}" y="166" font-size="11" text-anchor="end">{last}</text></svg>'
        f"<p>At most {top:g} rows in one bar.</p>"
    )


def _edge(value: float, moments: bool) -> str:
    if not moments:
        return f"{value:.3g} s"
    return f"{datetime.fromtimestamp(value, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"

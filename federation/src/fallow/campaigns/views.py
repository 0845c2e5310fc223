"""How campaigns are shown: tables, bars, and the same for programs. Pure but for the screen."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from fallow.campaigns.messages import ENDS, Campaign, RowState, Status
from fallow.output import table
from fallow.web import for_people

if TYPE_CHECKING:
    from rich.console import Group

_COLOURS = {
    RowState.DONE: "green",
    RowState.RUNNING: "cyan",
    RowState.QUEUED: "blue",
    RowState.FAILED: "red",
    RowState.CANCELLED: "magenta",
    RowState.HELD: "yellow",
}


def campaign_row(one: Campaign) -> dict[str, Any]:
    """A campaign as a row of a table."""
    share = 100.0 * one.done / one.rows if one.rows else 0.0
    return {**one.model_dump(mode="json"), "done_percent": round(share, 1)}


def states(status: Status) -> list[dict[str, Any]]:
    """Rows by stage and state."""
    sums: dict[tuple[str, str], int] = {}
    for count in status.counts:
        key = (count.stage, count.state.value)
        sums[key] = sums.get(key, 0) + count.rows
    return [{"stage": stage, "state": state, "rows": rows} for (stage, state), rows in sums.items()]


def centres(status: Status) -> list[dict[str, Any]]:
    """Rows that ran or run, by centre."""
    sums: dict[str, dict[str, int]] = {}
    for count in status.counts:
        if count.centre:
            found = sums.setdefault(count.centre, {})
            found[count.state.value] = found.get(count.state.value, 0) + count.rows
    return [
        {"centre": centre, **{name: found.get(name, 0) for name in ("running", "done", "failed")}}
        for centre, found in sorted(sums.items())
    ]


def failures(status: Status) -> list[dict[str, Any]]:
    """Rows that failed alike."""
    return [
        {
            "stage": one.stage,
            "class": one.failure,
            "signature": for_people(one.signature),
            "rows": one.rows,
            "sample": one.sample,
            "centres": ", ".join(f"{name or '-'} {rows}" for name, rows in sorted(one.centres.items())),
        }
        for one in status.failures
    ]


def headline(status: Status, now: datetime | None = None) -> str:
    """A campaign in one or two sentences."""
    one = status.campaign
    words = f"{one.name} is {one.state.value}: {one.done} of {one.rows} rows done, {one.failed} failed"
    words += f", {status.retried} retried." if status.retried else "."
    if one.reason:
        words += f" {for_people(one.reason)}"
    if one.deadline is not None and one.done < one.rows:
        late = one.deadline < (now or datetime.now(timezone.utc))
        words += f" It {'was' if late else 'is'} due at {one.deadline:%Y-%m-%d %H:%M} UTC."
    return words


def pictured(status: Status) -> Group:
    """All of a status for the screen: a bar for each stage, then centres and failures."""
    from rich.console import Group
    from rich.markup import escape

    parts: list[Any] = [escape(headline(status)), _bars(status)]
    if found := centres(status):
        parts.append(table(found, ["centre", "running", "done", "failed"]))
    if found := failures(status):
        parts.append(table(found, ["stage", "class", "signature", "rows", "sample", "centres"]))
    return Group(*parts)


def over(status: Status) -> bool:
    """Whether nothing moves any more without anybody's doing."""
    return not any(count.rows for count in status.counts if count.state not in ENDS) or (
        status.campaign.state.value in ("finished", "cancelled")
        and not any(
            count.rows
            for count in status.counts
            if count.state in (RowState.SUBMITTING, RowState.QUEUED, RowState.RUNNING)
        )
    )


def _bars(status: Status) -> Any:
    from rich.table import Table
    from rich.text import Text

    width = 50
    grid = Table.grid(padding=(0, 2))
    by_stage: dict[str, dict[RowState, int]] = {}
    for count in status.counts:
        found = by_stage.setdefault(count.stage, {})
        found[count.state] = found.get(count.state, 0) + count.rows
    for stage, found in by_stage.items():
        total = sum(found.values())
        bar = Text()
        for state in (RowState.DONE, RowState.FAILED, RowState.CANCELLED, RowState.RUNNING, RowState.QUEUED):
            bar.append("━" * (width * found.get(state, 0) // total), style=_COLOURS[state])
        bar.append("─" * max(0, width - len(bar)), style="dim")
        said = ", ".join(f"{rows} {state.value}" for state, rows in found.items() if rows)
        grid.add_row(stage, bar, f"{100 * found.get(RowState.DONE, 0) / total:.1f} %", said)
    return grid

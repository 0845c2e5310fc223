"""How `fallow rules` shows rules, proposals and what they change."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from fallow.output import show
from fallow.rules.changes import changes
from fallow.rules.document import parse_rules
from fallow.rules.messages import Outcome, RulesReport, Simulation


def show_changes(now: str, proposed: str) -> None:
    """Print the settings that differ between two documents."""
    found = changes(parse_rules(now), parse_rules(proposed))
    if found:
        show_rows([dataclasses.asdict(change) for change in found])
    else:
        click.echo("Nothing changes: these are the rules in force.")


def show_proposals(found: RulesReport) -> None:
    """Print the open proposals and who has approved each."""
    rows = [
        {
            "proposal": each.digest,
            "by": each.proposed_by,
            "lapses": f"{each.lapses:%Y-%m-%d %H:%M}",
            "approved_by": ", ".join(each.approved_by) or "nobody yet",
            "needed": f"{found.approvals_needed} of {len(found.centres)}",
        }
        for each in found.proposals
    ]
    if rows:
        show_rows(rows, title="Open proposals")


def show_rows(rows: list[dict[str, Any]], title: str = "") -> None:
    """Print rows with a column for each of their fields."""
    show(rows, list(rows[0]) if rows else [], as_json=False, title=title)


def printable(text: str) -> str:
    """A document of strangers, fit for a terminal: what does not print is written as its code."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode()
        for each in text
    )


def comparison(found: Simulation) -> list[dict[str, Any]]:
    """One row per centre and class: each figure under the rules in force and under the proposal."""

    def said(name: str, before: Outcome, after: Outcome) -> str:
        return " → ".join(_FIGURES[name](getattr(each, name)) for each in (before, after))

    return [
        {
            "centre": before.centre,
            "class": before.resource_class,
            "jobs": before.jobs,
            "mean_wait": said("mean_wait_s", before, after),
            "p95_wait": said("p95_wait_s", before, after),
            "share_of_slots": said("share", before, after),
            "balance_core_h": said("balance", before, after),
        }
        for before, after in zip(found.current, found.proposed)
    ]


_FIGURES = {
    "mean_wait_s": lambda value: f"{value / 60:.1f} min",
    "p95_wait_s": lambda value: f"{value / 60:.1f} min",
    "share": lambda value: "-" if value is None else f"{100 * value:.1f} %",
    "balance": lambda value: f"{value / 3600:+.1f}",
}

"""What becomes of a row when its job has ended: done, once more, elsewhere, or failed. Pure."""

from __future__ import annotations

from typing import Any

from fallow.campaigns.messages import Plan, RowState
from fallow_matcher.campaigns.ending import Ending, Fault

AVOIDED = 5
"""How many pilots a row remembers to avoid."""


def after(
    plan: Plan, row: Any, ending: Ending, *, centre: str, pilot: str, ended: float, wall_s: float | None
) -> dict[str, Any]:
    """What changes of a row.

    Args:
        plan: Its campaign.
        row: The row as the database has it: `own_failures`, `node_failures`, `avoid`.
        ending: How its job ended.
        centre: The centre that ran it last.
        pilot: The pilot that ran it last.
        ended: Unix time.
        wall_s: Seconds that it ran, where that is known.
    """
    found: dict[str, Any] = {
        "recalled": 0,
        "centre": centre,
        "failure": "" if ending.fault is None else ending.fault.value,
        "signature": ending.signature[:200],
        "exit_code": ending.exit_code,
        "reason": ending.reason[:300],
        "ended": ended,
        "wall_s": wall_s,
    }
    if ending.fault is None:
        return {**found, "state": RowState.DONE.value}
    if ending.fault is Fault.REMOVED:
        return {**found, "state": RowState.CANCELLED.value}
    spent = "node_failures" if ending.elsewhere else "own_failures"
    allowed = plan.infrastructure_retries if ending.elsewhere else plan.retries
    found[spent] = getattr(row, spent) + 1
    if ending.elsewhere and pilot:
        found["avoid"] = " ".join([*(one for one in row.avoid.split() if one != pilot), pilot][-AVOIDED:])
    if found[spent] > allowed or ending.fault is Fault.REFUSED:
        return {**found, "state": RowState.FAILED.value}
    # It waits again: what is counted of its last attempt is the campaign's `retried`.
    return {**found, **WAITS}


WAITS = {
    "state": RowState.WAITING.value,
    "recalled": 0,
    "job": "",
    "centre": "",
    "failure": "",
    "signature": "",
    "ended": None,
}
"""A row that waits in the database once more."""


def tripped(states: list[str], of: int, share: float) -> int | None:
    """How many of the rows that ended last failed, where that is reason to pause; else None.

    Args:
        states: The states of the rows that ended last, at most `of`.
        of: How many have to be looked at.
        share: The share of failed ones from which on it pauses.
    """
    failed = sum(state == RowState.FAILED.value for state in states)
    return failed if len(states) >= of and failed >= share * of else None

"""The black-hole latch: a node on which job after job fails at once would eat the whole queue, so it closes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from fallow.reports import RunEnd
from fallow_pilots.node.history import Run

MOST_FAILURES = 10
SHORT_S = 180.0


def black_hole(runs: Sequence[Run]) -> str | None:
    """Why the slot must close, or None: the last ten runs that count all failed within three minutes each.

    Evicted and stopped runs say nothing of the node and do not count; a run that did well, or failed late, begins the
    count anew.

    Args:
        runs: What ran here, oldest first.
    """
    telling = [run for run in runs if run.end not in (RunEnd.EVICTED, RunEnd.STOPPED)]
    last = telling[-MOST_FAILURES:]
    if len(last) < MOST_FAILURES or not all(_failed_at_once(run) for run in last):
        return None
    not_started = sum(run.end is RunEnd.NOT_STARTED for run in last)
    return (
        f"The last {MOST_FAILURES} jobs failed within {SHORT_S / 60:.0f} minutes each"
        f" ({not_started} of them did not start): this node is taken for broken."
    )


def _failed_at_once(run: Run) -> bool:
    return run.end in (RunEnd.FAILED, RunEnd.NOT_STARTED) and run.wall_s < SHORT_S

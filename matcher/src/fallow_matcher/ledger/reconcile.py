"""Two views of the same runs, the hub's and the pilots', held against each other.

Both name a run by HTCondor's `GlobalJobId` and the moment at which the schedd started it, which the pilot reads in the job's
ad. The hub measures up to its shadow's end, the pilot up to its starter's, and both clocks tick in seconds: so much is no
disagreement.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, select

from fallow.ledger.messages import Agreement, Difference
from fallow.reports import RunEnd
from fallow_matcher.database import reading
from fallow_matcher.ledger.run import CHARGED, Outcome
from fallow_matcher.ledger.tables import PILOT_RUN, REPORT, RUN

TICK_S = 2.0
"""What two clocks that tick in seconds, and the way from node to hub, can make of one run."""
TOLERANCE = 0.001
AWAITED_S = 900
"""A pilot reports every few minutes: for so long after a run's end it may still do so."""

Key = tuple[str, str, int]
"""Pilot, `GlobalJobId`, start in whole seconds."""


@dataclass
class _Centre:
    both: int = 0
    awaited: int = 0
    hub_core_s: float = 0.0
    pilot_core_s: float = 0.0
    differences: list[Difference] = field(default_factory=list)

    @property
    def unexplained_core_s(self) -> float:
        return sum(abs(one.hub_core_s - one.pilot_core_s) for one in self.differences if one.counts)


def reconcile(
    engine: Engine, since: float, until: float, now: float
) -> tuple[list[Agreement], dict[str, list[Difference]]]:
    """Compare the runs that ended from `since` up to `until`, unix time.

    Returns:
        The agreement of every centre, and the differences of each by its name.
    """
    centres: dict[str, _Centre] = defaultdict(_Centre)
    with reading(engine) as connection:
        mine = {_key(row): row for row in _hub_runs(connection, since, until)}
        theirs = {_key(row): row for row in _pilot_runs(connection, since, until)}
        reports = {row.pilot: row for row in _reports(connection)}
        for key, row in mine.items():
            if key in theirs:
                _compare(centres[row.provider], row, theirs[key])
            else:
                _hub_only(centres[row.provider], row, reports.get(row.pilot), now)
        for key, row in theirs.items():
            if key not in mine and not _hub_knows(connection, key):
                _pilot_only(centres[row.centre], row)
    found = [
        Agreement(
            centre=name,
            both=each.both,
            awaited=each.awaited,
            hub_core_s=each.hub_core_s,
            pilot_core_s=each.pilot_core_s,
            unexplained_core_s=each.unexplained_core_s,
            share=each.unexplained_core_s / max(each.hub_core_s, each.pilot_core_s, 1.0),
        )
        for name, each in sorted(centres.items())
    ]
    return found, {name: each.differences for name, each in centres.items()}


def _hub_runs(connection: Connection, since: float, until: float) -> Iterator[Row[Any]]:
    query = select(
        RUN.c.pilot, RUN.c.global_job_id, RUN.c.started, RUN.c.ended, RUN.c.wall_s, RUN.c.cores, RUN.c.gpus,
        RUN.c.outcome, RUN.c.provider,
    ).where(RUN.c.ended >= since, RUN.c.ended < until, RUN.c.provider != "")  # fmt: skip
    return iter(connection.execute(query))


def _pilot_runs(connection: Connection, since: float, until: float) -> Iterator[Row[Any]]:
    # A run that ended at the edge by one clock may lie beyond it by the other.
    query = (
        select(PILOT_RUN, REPORT.c.centre)
        .join(REPORT, REPORT.c.pilot == PILOT_RUN.c.pilot)
        .where(PILOT_RUN.c.ended >= since - TICK_S, PILOT_RUN.c.ended < until + TICK_S)
    )
    return iter(connection.execute(query))


def _reports(connection: Connection) -> Iterator[Row[Any]]:
    return iter(connection.execute(select(REPORT.c.pilot, REPORT.c.ended, REPORT.c.written)))


def _hub_knows(connection: Connection, key: Key) -> bool:
    """Whether the hub has the run, ended outside the time asked for."""
    pilot, name, started = key
    here = (RUN.c.global_job_id == name) & (RUN.c.pilot == pilot)
    rows = connection.execute(select(RUN.c.started).where(here, RUN.c.ended.is_not(None)))
    return any(int(row.started) == started for row in rows)


def _key(row: Row[Any]) -> Key:
    return row.pilot, row.global_job_id, int(row.started)


def _compare(centre: _Centre, mine: Row[Any], their: Row[Any]) -> None:
    amount = mine.gpus or mine.cores
    hub_s, pilot_s = mine.wall_s or 0.0, their.ended - their.started
    held = (their.gpus or their.cores) * pilot_s
    centre.both += 1
    charged = mine.outcome in CHARGED
    if charged:
        centre.hub_core_s += hub_s * amount
        centre.pilot_core_s += held
    if mine.outcome == Outcome.LOST and their.outcome in (RunEnd.DONE, RunEnd.FAILED):
        _differ(centre, mine, f"The pilot says {their.outcome}, the hub lost it.", "lost", 0.0, held, True)
    elif charged and (their.gpus or their.cores) != amount:
        _differ(centre, mine, "They disagree on the cores.", mine.outcome, hub_s * amount, held, True)
    elif charged and abs(hub_s - pilot_s) > max(TICK_S, TOLERANCE * hub_s):
        what = f"The hub measured {hub_s:.0f} s, the pilot {pilot_s:.0f} s."
        _differ(centre, mine, what, mine.outcome, hub_s * amount, held, True)


def _hub_only(centre: _Centre, row: Row[Any], report: Row[Any] | None, now: float) -> None:
    told = report is not None and (report.ended is not None or report.written > row.ended + TICK_S)
    if not told and now - row.ended < AWAITED_S:
        centre.awaited += 1
        return
    charged = row.outcome in CHARGED
    held = (row.wall_s or 0.0) * (row.gpus or row.cores) if charged else 0.0
    centre.hub_core_s += held
    what = "The pilot reported no such run." if told else "The pilot never reported it."
    _differ(centre, row, what, row.outcome, held, 0.0, charged)


def _pilot_only(centre: _Centre, row: Row[Any]) -> None:
    counts = row.outcome in (RunEnd.DONE, RunEnd.FAILED)
    held = (row.ended - row.started) * (row.gpus or row.cores) if counts else 0.0
    centre.pilot_core_s += held
    _differ(centre, row, f"The hub knows no such run; the pilot says {row.outcome}.", "", 0.0, held, counts)


def _differ(
    centre: _Centre, row: Row[Any], what: str, hub: str, hub_core_s: float, pilot_core_s: float, counts: bool
) -> None:
    centre.differences.append(
        Difference(
            pilot=row.pilot,
            global_job_id=row.global_job_id,
            started=datetime.fromtimestamp(row.started, UTC),
            what=what,
            hub=hub,
            hub_core_s=hub_core_s,
            pilot_core_s=pilot_core_s,
            counts=counts,
        )
    )

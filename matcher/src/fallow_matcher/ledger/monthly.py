"""What a centre gave and got in one span of time, each run with the part of it that fell into the span."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, Row, or_, select

from fallow.ledger.messages import Sum
from fallow.ledger.monthly import Day, MonthReport, Waited, digest_of, span
from fallow_matcher.database import reading
from fallow_matcher.ledger.query import DAY_S
from fallow_matcher.ledger.tables import REPORT, RUN

_KEYS = {
    "given": ("consumer", "work_type", "resource_class"),
    "got": ("provider", "work_type", "resource_class"),
    "home": ("work_type", "resource_class"),
    "people": ("user", "resource_class"),
    "ends": ("side", "outcome"),
}


@dataclass
class _Total:
    runs: int = 0
    wall_s: float = 0.0
    core_s: float = 0.0
    value: float = 0.0


class Account:
    """Sums up one centre's runs over one span; pure.

    Args:
        centre: The centre.
        since: Unix time at which the span begins.
        until: Unix time at which it has ended.
    """

    def __init__(self, centre: str, since: float, until: float) -> None:
        self._centre = centre
        self._since = since
        self._until = until
        self._totals: dict[str, dict[tuple[str, ...], _Total]] = {name: defaultdict(_Total) for name in _KEYS}
        self._days: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.running = 0

    def add(self, run: Row[Any]) -> None:
        """Count what of a run fell into the span; `run` has the columns of the table of runs."""
        if run.ended is None:
            self.running += 1
            return
        wall_s, amount = run.wall_s or 0.0, run.gpus or run.cores
        first = max(run.started, self._since)
        last = max(first, min(run.started + wall_s, self._until))
        side = self._side(run)
        part = _Total(int(self._since <= run.ended < self._until), last - first, (last - first) * amount)
        # Its value was earned evenly in the time that is charged, which ends with what was asked for.
        charged_s = min(wall_s, run.requested_s)
        if run.value and charged_s > 0:
            earning_s = min(run.started + charged_s, self._until) - first
            part.value = run.value * max(0.0, earning_s) / charged_s
        told = {**run._asdict(), "side": side}
        for name in (side, "ends", *(["people"] if side != "given" else [])):
            total = self._totals[name][tuple(told[key] for key in _KEYS[name])]
            total.runs += part.runs
            total.wall_s += part.wall_s
            total.core_s += part.core_s
            total.value += part.value
        for day, length_s in _days(first, last):
            self._days[day, run.resource_class][f"{side}_core_s"] += length_s * amount

    def sums(self, name: str) -> list[Sum]:
        """The sums of one kind, in the order of what they have in common."""
        return [
            Sum(
                group=dict(zip(_KEYS[name], key, strict=True)),
                runs=total.runs,
                wall_s=milli(total.wall_s),
                core_s=milli(total.core_s),
                value=milli(total.value),
            )
            for key, total in sorted(self._totals[name].items())
        ]

    def days(self) -> list[Day]:
        """The days on which something ran, in order."""
        return [
            Day(day=day, resource_class=kind, **{side: milli(held) for side, held in sides.items()})
            for (day, kind), sides in sorted(self._days.items())
        ]

    def _side(self, run: Row[Any]) -> str:
        if run.provider != run.consumer:
            return "given" if run.provider == self._centre else "got"
        return "home"


def month_report(engine: Engine, centre: str, month: str, waits: list[Waited]) -> MonthReport:
    """The report of a month, sealed with its digest.

    Args:
        engine: The hub's database.
        centre: Whose.
        month: Which, as 2026-11, in UTC.
        waits: How long its jobs waited (`fallow_matcher.simulation.saved`).
    """
    begin, end = span(month)
    since, until = begin.timestamp(), end.timestamp()
    account = Account(centre, since, until)
    wanted = [
        or_(RUN.c.provider == centre, RUN.c.consumer == centre),
        RUN.c.started < until,
        or_(RUN.c.ended.is_(None), RUN.c.ended >= since),
    ]
    # Sums of floating-point numbers depend on their order: another database must not make another report.
    order = (RUN.c.started, RUN.c.global_job_id, RUN.c.run)
    with reading(engine) as connection:
        query = select(RUN).where(*wanted).order_by(*order)
        for row in connection.execute(query.execution_options(yield_per=10_000)):
            account.add(row)
    pilots, offered = _offered(engine, centre, since, until)
    made = MonthReport(
        centre=centre,
        month=month,
        since=begin,
        until=end,
        **{name: account.sums(name) for name in _KEYS},
        days=account.days(),
        running=account.running,
        pilots=pilots,
        offered_core_s=milli(offered),
        waits=waits,
    )
    return made.model_copy(update={"digest": digest_of(made)})


def _offered(engine: Engine, centre: str, since: float, until: float) -> tuple[int, float]:
    """How many pilots were there in a span, and what they offered in it: a pilot offers evenly while it lives."""
    query = (
        select(REPORT.c.started, REPORT.c.ended, REPORT.c.written, REPORT.c.offered_core_s)
        .where(REPORT.c.centre == centre, REPORT.c.started < until, REPORT.c.written >= since)
        .order_by(REPORT.c.started, REPORT.c.pilot)
    )
    count, offered = 0, 0.0
    with reading(engine) as connection:
        for row in connection.execute(query):
            ended = row.written if row.ended is None else row.ended
            length_s, inside_s = ended - row.started, min(ended, until) - max(row.started, since)
            if inside_s >= 0:
                count += 1
                offered += row.offered_core_s * (inside_s / length_s if length_s > 0 else 1.0)
    return count, offered


def _days(first: float, last: float) -> Iterator[tuple[str, float]]:
    """The days of UTC that a span touches, each with the seconds of the span in it."""
    while first < last:
        midnight = (first // DAY_S + 1) * DAY_S
        yield f"{datetime.fromtimestamp(first, UTC):%Y-%m-%d}", min(last, midnight) - first
        first = midnight


def milli(value: float) -> float:
    """A figure of a report, without the digits that only the machine's arithmetic made."""
    return round(value, 3)

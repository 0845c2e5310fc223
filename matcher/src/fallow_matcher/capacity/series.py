"""Capacity over time in the hub's database, in bounded space: the older, the coarser.

What is stored twice for one span is averaged, so two gateways or a clock that was set back do no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, func, insert, select

from fallow.capacity import Amount, CapacityPoint
from fallow_matcher.capacity.sample import Sample
from fallow_matcher.capacity.tables import MEASURES, POINT
from fallow_matcher.database import reading, writing

DAY_S = 86_400


@dataclass(frozen=True)
class Tier:
    """Points of one length, and how long they are kept before they are merged into longer ones."""

    span_s: int
    keep_s: int


COARSE = (Tier(600, 14 * DAY_S), Tier(3600, 400 * DAY_S))
"""What fine points become after `FINE_S`; after the last there is nothing."""

FINE_S = DAY_S
"""How long points are kept as they were taken."""

MOST_POINTS = 120
"""Points of one centre in an answer, at most; the step follows from it."""

_KEY = ("span_s", "at", "centre")


def record(database: Engine, now: float, span_s: int, samples: Mapping[str, Sample]) -> None:
    """Store one sample of each centre, as the span in which `now` lies.

    Args:
        database: The hub's database.
        now: Unix time.
        span_s: Seconds between two samples.
        samples: By centre.
    """
    at = int(now) - int(now) % span_s
    rows = [
        {"span_s": span_s, "at": at, "centre": centre, "samples": 1, **values}
        for centre, values in samples.items()
    ]
    with writing(database) as connection:
        _merge(connection, rows)


def shrink(database: Engine, now: float) -> None:
    """Merge what has grown old into longer spans, and forget what is older than the last tier keeps."""
    with writing(database) as connection:
        keep_s = FINE_S
        for tier in COARSE:
            cutoff = int(now) - keep_s
            cutoff -= cutoff % tier.span_s
            old = and_(POINT.c.span_s < tier.span_s, POINT.c.at < cutoff)
            rows = [dict(row) for row in connection.execute(select(POINT).where(old)).mappings()]
            connection.execute(delete(POINT).where(old))
            longer = (
                {**row, "span_s": tier.span_s, "at": row["at"] - row["at"] % tier.span_s} for row in rows
            )
            _merge(connection, longer)
            keep_s = tier.keep_s
        connection.execute(delete(POINT).where(POINT.c.at < int(now) - keep_s))


def history(database: Engine, since: float, until: float) -> tuple[int, list[CapacityPoint]]:
    """The step in seconds, and the points from `since` to `until` (unix times), by time and centre."""
    step_s = step(until - since)
    bucket = (POINT.c.at // step_s).label("bucket")
    means = [
        (func.sum(POINT.c[name] * POINT.c.samples) / func.sum(POINT.c.samples)).label(name)
        for name in MEASURES
    ]
    query = (
        select(bucket, POINT.c.centre, *means)
        .where(POINT.c.at >= int(since), POINT.c.at < int(until))
        .group_by(bucket, POINT.c.centre)
        .order_by(bucket, POINT.c.centre)
    )
    with reading(database) as connection:
        rows = connection.execute(query).mappings().all()
    return step_s, [_point(dict(row), step_s) for row in rows]


def step(length_s: float) -> int:
    """The step for a history of this length: a round number, and no more than `MOST_POINTS` of them."""
    rounds = (60, 300, 600, 1800, 3600, 2 * 3600, 6 * 3600, 12 * 3600, DAY_S, 7 * DAY_S)
    return next((each for each in rounds if length_s / each <= MOST_POINTS), rounds[-1])


def _merge(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add points; those of one span, there or among `rows`, become their weighted mean."""
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in _KEY)
        merged[key] = _mean(merged[key], row) if key in merged else dict(row)
    for key, row in merged.items():
        same = and_(*(POINT.c[name] == value for name, value in zip(_KEY, key, strict=True)))
        there = connection.execute(select(POINT).where(same)).mappings().one_or_none()
        if there is not None:
            connection.execute(delete(POINT).where(same))
            merged[key] = _mean(dict(there), row)
    if merged:
        connection.execute(insert(POINT), list(merged.values()))


def _mean(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    samples = one["samples"] + other["samples"]
    means = {
        name: (one[name] * one["samples"] + other[name] * other["samples"]) / samples for name in MEASURES
    }
    return {**one, **means, "samples": samples}


def _point(row: Mapping[str, Any], step_s: int) -> CapacityPoint:
    def amount(kind: str) -> Amount:
        running, used = row[f"{kind}_running"], row[f"{kind}_used"]
        return Amount(
            offered=row[f"{kind}_offered"], running=running, used=used, idle=max(0.0, running - used)
        )

    return CapacityPoint(
        centre=row["centre"],
        at=datetime.fromtimestamp(row["bucket"] * step_s, UTC),
        span_s=step_s,
        pilots_offered=row["pilots_offered"],
        pilots_running=row["pilots_running"],
        cores=amount("cores"),
        gpus=amount("gpus"),
    )

"""What can be asked of the ledger: sums over runs, lines, and what pilots offered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Integer, Row, cast, func, or_, select

from fallow.ledger.messages import Key, Line, Pilots, Sum
from fallow_matcher.database import reading
from fallow_matcher.ledger.tables import REPORT, RUN

DAY_S = 86_400

_MOMENTS = ("submitted", "started", "ended")


def sums(
    engine: Engine,
    by: Sequence[Key],
    since: float,
    until: float,
    *,
    consumer: str | None = None,
    provider: str | None = None,
    lent: bool = False,
) -> list[Sum]:
    """Sums over the runs that ended from `since` up to `until`, both unix time.

    Args:
        engine: The hub's database.
        by: What the runs of one sum have in common; a day or month is that of their end, in UTC.
        since: From when on.
        until: Up to when.
        consumer: Only runs of this centre's jobs.
        provider: Only runs at this centre.
        lent: Only runs whose provider is not their consumer.
    """
    wanted = [RUN.c.ended >= since, RUN.c.ended < until]
    wanted += [RUN.c.consumer == consumer] if consumer else []
    wanted += [RUN.c.provider == provider] if provider else []
    wanted += [RUN.c.provider != RUN.c.consumer] if lent else []
    keys = list(dict.fromkeys(by))
    timed = [key for key in keys if key in (Key.DAY, Key.MONTH)]
    plain = [key for key in keys if key not in timed]
    columns: list[ColumnElement[Any]] = [RUN.c[key.value] for key in plain]
    columns += [_day(engine).label("day")] if timed else []
    held = _amount() * RUN.c.wall_s
    query = (
        select(*columns, func.count(), func.sum(RUN.c.wall_s), func.sum(held), func.sum(RUN.c.value))
        .where(*wanted)
        .group_by(*columns)
    )
    with reading(engine) as connection:
        rows = connection.execute(query).all()
    return _folded(rows, keys, plain)


def lines(
    engine: Engine,
    centre: str,
    since: float,
    until: float,
    *,
    after: int = 0,
    limit: int = 1000,
) -> list[Line]:
    """The lines of one centre, as provider or consumer, that ended from `since` up to `until` or have not ended."""
    wanted = [
        or_(RUN.c.provider == centre, RUN.c.consumer == centre),
        or_(RUN.c.ended.is_(None), (RUN.c.ended >= since) & (RUN.c.ended < until)),
        RUN.c.id > after,
    ]
    with reading(engine) as connection:
        rows = connection.execute(select(RUN).where(*wanted).order_by(RUN.c.id).limit(limit)).all()
    return [line(row) for row in rows]


def line(row: Row[Any]) -> Line:
    """A row of the table as a message."""
    values = row._asdict()
    for name in _MOMENTS:
        values[name] = None if values[name] is None else datetime.fromtimestamp(values[name], UTC)
    return Line(number=values.pop("id"), **values)


def pilots(engine: Engine, since: float, until: float) -> list[Pilots]:
    """What the pilots that started from `since` up to `until` offered, by centre."""
    query = (
        select(
            REPORT.c.centre,
            REPORT.c.code,
            func.count(),
            func.sum(REPORT.c.offered_core_s),
            func.sum(REPORT.c.used_core_s),
            func.sum(REPORT.c.idle_core_s),
        )
        .where(REPORT.c.started >= since, REPORT.c.started < until)
        .group_by(REPORT.c.centre, REPORT.c.code)
    )
    found: dict[str, list[Any]] = defaultdict(list)
    with reading(engine) as connection:
        for row in connection.execute(query):
            found[row.centre].append(row)
    return [
        Pilots(
            centre=centre,
            pilots=sum(row[2] for row in rows),
            offered_core_s=sum(row[3] for row in rows),
            used_core_s=sum(row[4] for row in rows),
            idle_core_s=sum(row[5] for row in rows),
            ends={"running" if row.code is None else str(row.code): row[2] for row in rows},
        )
        for centre, rows in sorted(found.items())
    ]


def _day(engine: Engine) -> ColumnElement[Any]:
    """Days since 1970 of the run's end."""
    days = RUN.c.ended / float(DAY_S)
    # SQLite may lack floor(), and its cast cuts off; PostgreSQL's cast rounds.
    return cast(days, Integer) if engine.dialect.name == "sqlite" else cast(func.floor(days), Integer)


def _amount() -> ColumnElement[Any]:
    return func.coalesce(func.nullif(RUN.c.gpus, 0), RUN.c.cores)


def _folded(rows: Iterable[Row[Any]], keys: Sequence[Key], plain: Sequence[Key]) -> list[Sum]:
    totals: dict[tuple[str, ...], list[float]] = defaultdict(lambda: [0, 0.0, 0.0, 0.0])
    for row in rows:
        *_, runs, wall_s, core_s, value = row
        group = {key.value: str(text) for key, text in zip(plain, row, strict=False)}
        if len(plain) < len(keys):
            day = datetime.fromtimestamp(row.day * DAY_S, UTC)
            group |= {Key.DAY.value: f"{day:%Y-%m-%d}", Key.MONTH.value: f"{day:%Y-%m}"}
        total = totals[tuple(group[key.value] for key in keys)]
        for place, amount in enumerate((runs, wall_s or 0.0, core_s or 0.0, value or 0.0)):
            total[place] += amount
    return [
        Sum(
            group={key.value: text for key, text in zip(keys, names, strict=True)},
            runs=int(total[0]),
            wall_s=total[1],
            core_s=total[2],
            value=total[3],
        )
        for names, total in sorted(totals.items())
    ]

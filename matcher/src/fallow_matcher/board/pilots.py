"""The pilots of one centre, as their own reports tell."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, select

from fallow_matcher.database import reading
from fallow_matcher.ledger.tables import REPORT

MOST = 200


@dataclass(frozen=True)
class Told:
    """One pilot; moments are unix times."""

    pilot: str
    started: float
    ended: float | None
    code: int | None
    reason: str
    offered_core_s: float
    used_core_s: float


def latest(database: Engine, centre: str, since: float) -> list[Told]:
    """The pilots of a centre that reported from `since` on, the newest first, `MOST` at most."""
    columns = ("pilot", "started", "ended", "code", "reason", "offered_core_s", "used_core_s")
    wanted = (
        select(*(REPORT.c[name] for name in columns))
        .where(REPORT.c.centre == centre, REPORT.c.written >= since)
        .order_by(REPORT.c.started.desc())
        .limit(MOST)
    )
    with reading(database) as connection:
        return [Told(*row) for row in connection.execute(wanted)]

"""What each centre gave and used, decayed to a moment.

The value `v` of a run at moment `t` counts `v * 2 ** -((now - t) / half-life)`. The sums are kept on the scale of one fixed
moment, as the sum of `v * 2 ** ((t - at) / half-life)`: adding, taking back and the order of both change nothing but these
sums, and a query reads one row per centre and class whatever the number of runs. This is *forward decay* (Cormode,
Shkapenyuk, Srivastava, Xu: Forward Decay, ICDE 2009).
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, Engine, delete, insert, select, update

from fallow_matcher.database import reading
from fallow_matcher.ledger.run import Outcome, Run
from fallow_matcher.ledger.tables import EPOCH, RUN, STANDING

log = logging.getLogger(__name__)

REBASE = 64
"""After so many half-lives the sums move to the scale of a later moment, long before they could overflow."""

CLOCK_BACK_S = 60
"""How far the clock may go back before what it stamped is put right."""

Place = tuple[str, str]
"""A centre and a resource class."""


class Terms(Protocol):
    """What of the agreed rules the standings need (`fallow.rules.Rules` has it)."""

    @property
    def half_life_s(self) -> float:
        """Seconds in which what was given and used loses half of its weight."""

    @property
    def credit_line(self) -> float:
        """The credit line as a part of what a centre contributes in a half-life."""


@dataclass(frozen=True)
class Standing:
    """One centre in one resource class, in core-seconds (GPU-seconds), benchmark-weighted."""

    balance: float
    """What it gave to others minus what it used of others: `B`. The sum over all centres is zero."""
    contributed: float
    """What it gave to others, measured and settled."""
    credit_line: float
    """`L`: a part of what it contributes in a half-life; 0 for a newcomer."""


@dataclass(frozen=True)
class Entry:
    """What one run adds to the standings at one moment."""

    provider: str
    consumer: str
    resource_class: str
    value: float
    at: float
    settled: bool


def entry(run: Run) -> Entry:
    """What a run adds."""
    settled = run.outcome is not Outcome.RUNNING
    return Entry(run.provider, run.consumer, run.resource_class, run.value, run.valued_at, settled)


def credit_line(contributed: float, share: float) -> float:
    """`share` of a half-life of contribution: a steady rate `r` has the decayed sum `r * half-life / ln 2`."""
    return share * contributed * math.log(2)


def standings(engine: Engine, now: float, rules: Terms) -> Mapping[Place, Standing]:
    """The standing of every centre that ever gave or used, by centre and resource class.

    Args:
        engine: The hub's database.
        now: The moment that everything decays to, unix time.
        rules: Half-life and credit line; with another half-life than the ledger's own, all runs are summed up anew.
    """
    with reading(engine) as connection:
        epoch = connection.execute(select(EPOCH)).one_or_none()
        if epoch is None:
            return {}
        if epoch.half_life_s == rules.half_life_s:
            sums = {
                (row.centre, row.resource_class): (row.balance, row.contributed)
                for row in connection.execute(select(STANDING))
            }
        else:
            sums = _summed(_entries(connection), epoch.at, rules.half_life_s)
    # Where the clock went back, nothing weighs more than it did.
    scale = _weight(epoch.at, max(now, epoch.latest), rules.half_life_s)
    return {
        place: Standing(
            balance=balance * scale,
            contributed=contributed * scale,
            credit_line=credit_line(contributed * scale, rules.credit_line),
        )
        for place, (balance, contributed) in sums.items()
    }


class Sums:
    """The standings within one transaction that writes; `save` must be called at its end.

    Args:
        connection: The transaction.
        now: Unix time; no entry weighs as one of the future.
        half_life_s: Of the rules in force; where it is another than that of the sums, these are made anew.
    """

    def __init__(self, connection: Connection, now: float, half_life_s: float) -> None:
        self._connection = connection
        self._now = now
        self._half_life_s = half_life_s
        self._changes: dict[Place, list[float]] = defaultdict(lambda: [0.0, 0.0])
        found = connection.execute(select(EPOCH).with_for_update()).one_or_none()
        self._at = now if found is None else found.at
        if found is None:
            connection.execute(insert(EPOCH).values(id=1, at=now, half_life_s=half_life_s, latest=now))
        elif found.half_life_s != half_life_s or now < found.latest - CLOCK_BACK_S:
            self._renew()
        elif now - found.at > REBASE * half_life_s:
            self._rebase()

    def moment(self, at: float) -> float:
        """The moment from which a value decays: never later than now."""
        return min(at, self._now)

    def add(self, one: Entry, sign: int = 1) -> None:
        """Count an entry, or take it back with `sign` -1."""
        if one.value:
            _add(self._changes, one, sign * _weight(self.moment(one.at), self._at, self._half_life_s))

    def save(self) -> None:
        """Write what has changed."""
        for (centre, resource_class), (balance, contributed) in self._changes.items():
            here = (STANDING.c.centre == centre) & (STANDING.c.resource_class == resource_class)
            done = self._connection.execute(
                update(STANDING)
                .where(here)
                .values(
                    balance=STANDING.c.balance + balance, contributed=STANDING.c.contributed + contributed
                )
            )
            if not done.rowcount:
                self._connection.execute(
                    insert(STANDING).values(
                        centre=centre, resource_class=resource_class, balance=balance, contributed=contributed
                    )
                )
        self._connection.execute(update(EPOCH).values(latest=self._now))
        self._changes.clear()

    def _renew(self) -> None:
        log.info("the standings are summed up anew from all runs")
        later = RUN.c.valued_at > self._now
        self._connection.execute(update(RUN).where(later).values(valued_at=self._now))
        self._at = self._now
        sums = _summed(_entries(self._connection), self._at, self._half_life_s)
        self._connection.execute(delete(STANDING))
        rows = [
            {"centre": centre, "resource_class": kind, "balance": balance, "contributed": contributed}
            for (centre, kind), (balance, contributed) in sums.items()
        ]
        if rows:
            self._connection.execute(insert(STANDING), rows)
        self._connection.execute(
            update(EPOCH).values(at=self._at, half_life_s=self._half_life_s, latest=self._now)
        )

    def _rebase(self) -> None:
        scale = _weight(self._at, self._now, self._half_life_s)
        self._connection.execute(
            update(STANDING).values(
                balance=STANDING.c.balance * scale, contributed=STANDING.c.contributed * scale
            )
        )
        self._at = self._now
        self._connection.execute(update(EPOCH).values(at=self._at))


def _weight(moment: float, scale: float, half_life_s: float) -> float:
    """How much 1 at `moment` is on the scale of another moment."""
    return float(2.0 ** max(-1000.0, min(1000.0, (moment - scale) / half_life_s)))


def _add(sums: dict[Place, list[float]], one: Entry, weight: float) -> None:
    amount = one.value * weight
    gave, used = sums[one.provider, one.resource_class], sums[one.consumer, one.resource_class]
    gave[0] += amount
    used[0] -= amount
    if one.settled:
        gave[1] += amount


def _summed(entries: Iterable[Entry], at: float, half_life_s: float) -> dict[Place, tuple[float, float]]:
    sums: dict[Place, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for one in entries:
        _add(sums, one, _weight(one.at, at, half_life_s))
    return {place: (balance, contributed) for place, (balance, contributed) in sums.items()}


def _entries(connection: Connection) -> Iterable[Entry]:
    query = select(
        RUN.c.provider, RUN.c.consumer, RUN.c.resource_class, RUN.c.value, RUN.c.valued_at, RUN.c.outcome
    ).where(RUN.c.value != 0)
    for row in connection.execute(query.execution_options(yield_per=10_000)):
        yield Entry(
            row.provider,
            row.consumer,
            row.resource_class,
            row.value,
            row.valued_at,
            row.outcome != Outcome.RUNNING,
        )

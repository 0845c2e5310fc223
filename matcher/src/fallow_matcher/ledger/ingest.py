"""From HTCondor's records into the ledger: each run once, whatever is killed, repeated, renamed or late.

What is known of a run only ever grows: running → lost, because nobody saw its end → what a record of its end says. A record
that is read again says nothing new. Runs, their sums and the positions in the files change in one transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, Row, bindparam, insert, select, update

from fallow_matcher.database import alone, writing
from fallow_matcher.ledger import history
from fallow_matcher.ledger.ads import parse
from fallow_matcher.ledger.run import Outcome, Run, ended, started
from fallow_matcher.ledger.standing import Entry, Sums
from fallow_matcher.ledger.tables import RUN

log = logging.getLogger(__name__)

_LOCK = 0x4C_65_64_67_65_72  # "Ledger": matchers, and a matcher and a command, take turns
_AT_ONCE = 500


class Terms(Protocol):
    """What of the agreed rules the ledger needs (`fallow.rules.Rules` has it)."""

    @property
    def half_life_s(self) -> float:
        """Seconds in which what was given and used loses half of its weight."""

    def benchmark_factor(self, centre: str, /) -> float:
        """How much work a core or GPU of a centre does."""

    def resource_class(self, gpu_model: str = "", /) -> str:
        """The class of a slot by its GPUs' model."""


@dataclass(frozen=True)
class Ingested:
    """What one look brought."""

    started: int = 0
    """Runs that were not known."""
    ended: int = 0
    """Runs whose end was not known."""
    lost: int = 0
    """Runs that hold no slot any more and left no record."""
    known: int = 0
    """Records of an end that said nothing new."""

    def plus(self, other: Ingested) -> Ingested:
        """The sum of both."""
        mine, others = asdict(self), asdict(other)
        return Ingested(**{name: mine[name] + others[name] for name in mine})


def ingest(
    engine: Engine,
    rules: Terms,
    spool: Path,
    running: Iterable[Mapping[str, Any]] | None,
    now: float,
    queue: str = "",
) -> Ingested:
    """Take in what HTCondor has recorded since the last time.

    Args:
        engine: The hub's database.
        rules: The rules in force.
        spool: HTCondor's spool directory, with its history files.
        running: Ads (`run.ATTRIBUTES`) of all jobs that `run.RUNNING` holds for, looked up *before* this call; None where
            the queue did not answer.
        now: Unix time.
        queue: The queue's name, where another one's records go into the same database.
    """
    seen = None if running is None else [run for ad in running if (run := started(ad, rules)) is not None]
    total = Ingested()
    if seen:
        with writing(engine) as connection:
            total = _recorded(connection, seen, rules, now)
    history.rotate(spool)
    for name, path in history.files(spool, queue):
        while True:
            with writing(engine) as connection:
                alone(connection, _LOCK)
                piece = history.next_piece(connection, name, path)
                if piece is None:
                    break
                runs = [run for ad in parse(piece.text) if (run := ended(ad, rules)) is not None]
                total = total.plus(record(connection, runs, rules, now))
                history.passed(connection, piece, now)
    with writing(engine) as connection:
        # Without a file that shadows write into, no run can be said to have left no record.
        if seen is not None and any(
            path.name.startswith(history.EPOCHS) and path.exists() for _, path in history.files(spool)
        ):
            total = total.plus(_lost(connection, {run.key for run in seen}, rules, now, queue))
        history.forget(connection, spool, now, queue)
    if total.started or total.ended or total.lost:
        log.info("runs: %d started, %d ended, %d lost", total.started, total.ended, total.lost)
    return total


def _recorded(connection: Connection, runs: Sequence[Run], rules: Terms, now: float) -> Ingested:
    alone(connection, _LOCK)
    return record(connection, runs, rules, now)


def record(connection: Connection, runs: Sequence[Run], rules: Terms, now: float) -> Ingested:
    """Take in runs within a transaction that writes."""
    total = Ingested()
    sums = Sums(connection, now, rules.half_life_s)
    for first in range(0, len(runs), _AT_ONCE):
        total = total.plus(_batch(connection, sums, runs[first : first + _AT_ONCE]))
    sums.save()
    return total


def _batch(connection: Connection, sums: Sums, runs: Sequence[Run]) -> Ingested:
    query = select(RUN).where(RUN.c.global_job_id.in_({run.global_job_id for run in runs}))
    known: dict[tuple[str, int], Row[Any]] = {
        (row.global_job_id, row.run): row for row in connection.execute(query)
    }
    new: dict[tuple[str, int], Run] = {}
    changed: dict[tuple[str, int], Run] = {}
    repeated = 0
    for run in runs:
        before = known.get(run.key)
        if before is None and _more(new.get(run.key), run):
            new[run.key] = run
        elif before is not None and run.key not in changed and _more(before, run):
            changed[run.key] = replace(run, factor=before.factor, resource_class=before.resource_class)
        else:
            repeated += run.ended is not None
    rows = [_row(run, sums) for run in new.values()]
    if rows:
        connection.execute(insert(RUN), rows)
    changes = [_row(run, sums) for run in changed.values()]
    _update(connection, changes)
    for key in changed:
        sums.add(_entry(known[key]._asdict()), -1)
    for row in (*rows, *changes):
        sums.add(_entry(row))
    ends = sum(row["ended"] is not None for row in (*rows, *changes))
    return Ingested(started=len(rows), ended=ends, known=repeated)


def _lost(
    connection: Connection, holding: set[tuple[str, int]], rules: Terms, now: float, queue: str
) -> Ingested:
    """Close the runs of a queue that hold no slot and of whose end no record tells: their shadow was killed."""
    alone(connection, _LOCK)
    sums = Sums(connection, now, rules.half_life_s)
    query = select(RUN).where(RUN.c.ended.is_(None))
    if queue:
        query = query.where(RUN.c.global_job_id.startswith(f"{queue}#", autoescape=True))
    rows = connection.execute(query).all()
    gone = [row for row in rows if (row.global_job_id, row.run) not in holding and row.started <= now]
    for row in gone:
        sums.add(_entry(row._asdict()), -1)
    end = {
        "ended": now,
        "outcome": Outcome.LOST,
        "reason": "no record of its end",
        "value": 0.0,
        "valued_at": now,
    }
    _update(
        connection,
        [
            {**end, "wall_s": None, "cpu_s": None, "global_job_id": r.global_job_id, "run": r.run}
            for r in gone
        ],
    )
    sums.save()
    return Ingested(lost=len(gone))


def _row(run: Run, sums: Sums) -> dict[str, Any]:
    return {**vars(run), "value": run.value, "valued_at": sums.moment(run.valued_at)}


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(
        row["provider"],
        row["consumer"],
        row["resource_class"],
        row["value"],
        row["valued_at"],
        row["outcome"] != Outcome.RUNNING,
    )


def _more(before: Row[Any] | Run | None, run: Run) -> bool:
    """Whether `run` says more than what is known: nothing, running, lost without a record, or an end that was recorded."""
    if before is None:
        return True
    if before.wall_s is not None:
        return False
    return run.wall_s is not None or (before.ended is not None and run.ended is None)


_CHANGES = ("provider", "pilot", "ended", "wall_s", "cpu_s", "outcome", "reason", "value", "valued_at")


def _update(connection: Connection, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    names = [name for name in _CHANGES if name in rows[0]]
    statement = (
        update(RUN)
        .where(RUN.c.global_job_id == bindparam("b_global_job_id"), RUN.c.run == bindparam("b_run"))
        .values({name: bindparam(f"b_{name}") for name in names})
    )
    connection.execute(
        statement, [{f"b_{name}": row[name] for name in (*names, "global_job_id", "run")} for row in rows]
    )

"""The pilots' own reports: the latest of each, and every run that any of them told of."""

from __future__ import annotations

from sqlalchemy import Engine, insert, select, update

from fallow.reports import PilotReport
from fallow_matcher.database import reading, writing
from fallow_matcher.ledger.tables import PILOT_RUN, REPORT


def keep(engine: Engine, report: PilotReport) -> None:
    """Store a report in place of the pilot's last one; one that was written earlier changes nothing.

    Runs are kept also where a later report lists them no more. Storing a report twice is storing it once.
    """
    with writing(engine) as connection:
        here = REPORT.c.pilot == report.pilot
        written = connection.execute(
            select(REPORT.c.written).where(here).with_for_update()
        ).scalar_one_or_none()
        values = {
            "centre": report.centre,
            "started": report.started.timestamp(),
            "ended": report.ended.timestamp() if report.ended else None,
            "code": report.code,
            "reason": report.reason,
            "offered_core_s": float(report.offered_core_s),
            "used_core_s": float(report.used_core_s),
            "idle_core_s": float(report.idle_core_s),
            "written": report.written.timestamp(),
            "document": report.model_dump_json(),
        }
        if written is None:
            connection.execute(insert(REPORT).values(pilot=report.pilot, **values))
        elif report.written.timestamp() >= written:
            connection.execute(update(REPORT).where(here).values(values))
        known = {
            (row.global_job_id, row.started)
            for row in connection.execute(
                select(PILOT_RUN.c.global_job_id, PILOT_RUN.c.started).where(
                    PILOT_RUN.c.pilot == report.pilot
                )
            )
        }
        rows = {
            (run.global_job_id, run.started.timestamp()): {
                "pilot": report.pilot,
                "global_job_id": run.global_job_id,
                "started": run.started.timestamp(),
                "ended": run.ended.timestamp(),
                "cores": run.cores,
                "gpus": run.gpus,
                "outcome": run.outcome.value,
            }
            for run in report.runs
        }
        new = [row for key, row in rows.items() if key not in known]
        if new:
            connection.execute(insert(PILOT_RUN), new)


def latest(engine: Engine, pilot: str) -> PilotReport | None:
    """The last report of a pilot, or None if it has sent none."""
    with reading(engine) as connection:
        document = connection.execute(
            select(REPORT.c.document).where(REPORT.c.pilot == pilot)
        ).scalar_one_or_none()
    return None if document is None else PilotReport.model_validate_json(document)


def ended(engine: Engine, since: float) -> set[str]:
    """The pilots that have ended after a moment in Unix time, by what they said at their end."""
    with reading(engine) as connection:
        return set(connection.execute(select(REPORT.c.pilot).where(REPORT.c.ended >= since)).scalars())

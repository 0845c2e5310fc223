"""Brings the launcher's records up to date with an answer of the batch system and the outcomes of pilots.

Pure. A record only moves forward, but for a pilot given up as lost that reappears: it is active again. A job
that the batch system does not mention is not ended: only its outcome, or a long absence, says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from fallow_pilots.batch.model import JobStatus, Phase
from fallow_pilots.outcome import Outcome
from fallow_pilots.record import PilotRecord, State

ABSENT_S = 120
"""How long the batch system must not know a pilot before it counts as gone."""


def reconcile(
    records: Sequence[PilotRecord],
    jobs: Mapping[str, JobStatus],
    outcomes: Mapping[str, Outcome],
    now: datetime,
) -> list[PilotRecord]:
    """The records that change.

    Args:
        records: What the launcher remembers.
        jobs: What a complete answer of the batch system says, by pilot.
        outcomes: What pilots have left, by pilot.
        now: The launcher's clock, UTC.
    """
    changed = []
    for record in records:
        updated = with_outcome(record, outcomes.get(record.pilot))
        if record.state is not State.ENDED:
            job = jobs.get(record.pilot)
            updated = _absent(updated, now) if job is None else _present(updated, job, now)
        if updated != record:
            changed.append(updated)
    return changed


def with_outcome(record: PilotRecord, outcome: Outcome | None) -> PilotRecord:
    """The record with what the pilot says of itself, unless it has said so before."""
    if outcome is None or record.code is not None:
        return record
    return replace(
        record,
        code=outcome.code,
        reason=outcome.reason,
        jobs_run=outcome.jobs_run,
        busy_core_s=outcome.busy_core_s,
    )


def _absent(record: PilotRecord, now: datetime) -> PilotRecord:
    since = min(record.absent_since or now, now)
    if record.code is not None:
        return replace(record, state=State.ENDED, ended=record.ended or now, absent_since=since)
    if record.state is State.LOST or (now - since) < timedelta(seconds=ABSENT_S):
        return replace(record, absent_since=since)
    return replace(record, state=State.LOST, ended=since, absent_since=since)


def _present(record: PilotRecord, job: JobStatus, now: datetime) -> PilotRecord:
    known = replace(record, native_id=job.native_id, absent_since=None, node=job.node or record.node)
    if job.phase is Phase.QUEUED:
        state = State.RUNNING if record.state is State.RUNNING else State.QUEUED
        return replace(known, state=state, ended=None)
    started = record.started or (min(job.started, now) if job.started else None)
    if job.phase is Phase.RUNNING:
        return replace(known, state=State.RUNNING, started=started or now, ended=None)
    return replace(
        known, state=State.ENDED, started=started, ended=now, reason=record.reason or f"Batch: {job.detail}."
    )

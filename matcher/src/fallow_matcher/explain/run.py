"""Why a job runs, or ran, where and when it does; pure."""

from __future__ import annotations

from datetime import UTC, datetime

from fallow.explanations import Run
from fallow.queue.records import JobRecord, JobState
from fallow_matcher.classads import number_of
from fallow_matcher.explain import demand as words
from fallow_matcher.explain.changes import eviction
from fallow_matcher.explain.situation import Situation

FETCH_S = 120
"""A job that has run for less may still be waiting for its image."""


def run_of(situation: Situation, record: JobRecord) -> Run | None:
    """The job's present or last run; None for a job that never started."""
    if record.started is None or record.centre is None:
        return None
    started = number_of(situation.job, "JobCurrentStartDate") or record.started
    ended = record.finished if record.state is JobState.FINISHED else None
    if record.state in (JobState.HELD, JobState.REMOVED):
        ended = int(number_of(situation.job, "EnteredCurrentStatus") or 0) or None
    return Run(
        centre=record.centre,
        pilot=record.pilot or "",
        started=datetime.fromtimestamp(started, UTC),
        ended=None if ended is None else datetime.fromtimestamp(ended, UTC),
        why=[*_there(situation, record), *_then(situation, record, started), *_again(situation)],
    )


def _there(situation: Situation, record: JobRecord) -> list[str]:
    centre, home = record.centre, situation.job.get("FallowUserCentre")
    if centre == home:
        first = ", and its own jobs go first on its slots" if situation.rules.rules.home_first else ""
        return [f"{centre} is the centre of its owner{first}."]
    told = [f"{centre} took it as work of {home}: no job of its own that fitted was waiting for the slot."]
    if not situation.rules.rules.home_first:
        told = [f"{centre} took it as work of {home}."]
    giving = situation.decision.giving if situation.decision else {}
    order = next((places for places in giving.values() if centre in places), {})
    if len(order) > 1:
        told.append(
            f"Among the centres that could take it, {centre} is number {order[str(centre)]} of {len(order)} to give:"
            " who gave least so far gives next."
        )
    return told


def _then(situation: Situation, record: JobRecord, started: float) -> list[str]:
    evicted = number_of(situation.job, "LastVacateTime") or 0
    since = evicted if 0 < evicted < started else record.submitted
    told = []
    if since is not None:
        what = "losing its last slot" if since == evicted else "it was submitted"
        told.append(f"It started {words.time(max(0, started - since))} after {what}.")
    pilot = next((slot for slot in situation.whole if slot.get("FallowPilot") == record.pilot), None)
    joined = number_of(pilot, "DaemonStartTime") if pilot is not None else None
    if joined and since is not None and joined > since:
        told.append(
            f"It waited for capacity: its pilot {record.pilot} joined {words.time(max(0, started - joined))} before."
        )
    elif joined:
        told.append(f"Its pilot {record.pilot} was there before it.")
    if (then := situation.then) is not None:
        told.append(
            f"When it started, {words.number(then.cores.used)} of the {words.number(then.cores.running)} cores of "
            f"{then.centre}'s pilots were in use."
        )
    if record.state is JobState.RUNNING and situation.now - started < FETCH_S:
        told.append(
            f"Should {record.centre} not have its image yet, the image is fetched before it computes."
        )
    return told


def _again(situation: Situation) -> list[str]:
    lost = eviction(situation.job)
    times = int(number_of(situation.job, "NumVacates") or 0)
    return (
        [f"Before, it lost its slot {times} time{'' if times == 1 else 's'}. {lost[0].words}"] if lost else []
    )

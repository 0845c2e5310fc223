"""What a look at the queue says of rows: what changes of each, and what has to be done to jobs. Pure but for logs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fallow.campaigns.messages import CampaignState, Plan, RowState
from fallow.queue.ids import job_of
from fallow.queue.records import COMES_WITHIN_S, COMING
from fallow_matcher.campaigns import ending
from fallow_matcher.campaigns.ending import Ending, Fault
from fallow_matcher.campaigns.following import WAITS, after
from fallow_matcher.campaigns.jobs import place_of
from fallow_matcher.campaigns.logs import Written
from fallow_matcher.campaigns.staging import Stage
from fallow_matcher.classads import number_of

ATTRIBUTES = (
    "ClusterId", "ProcId", "Owner", "FallowRun", "FallowKey", "JobStatus", "JobPrio", "ExitCode", "ExitBySignal",
    "ExitSignal", "HoldReason", "HoldReasonCode", "HoldReasonSubCode", "RemoveReason", "MachineAttrFallowCentre0",
    "MachineAttrFallowPilot0", "JobCurrentStartDate", "CompletionDate", "EnteredCurrentStatus", "FallowTaken",
)  # fmt: skip
"""All that is read of a campaign's job."""

_IDLE, _REMOVED, _FINISHED, _HELD = 1, 3, 4, 5
_RUNNING = frozenset({2, 6, 7})

Key = tuple[int, int, int]
"""Campaign, row, attempt."""


@dataclass
class Look:
    """What follows for one campaign."""

    changes: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What changes of rows, by their number."""
    logs: dict[tuple[int, int], Written] = field(default_factory=dict)
    done: list[tuple[int, str]] = field(default_factory=list)
    """Stage and id of rows that are done now."""
    again: int = 0
    """Rows that failed and wait once more."""
    take: list[str] = field(default_factory=list)
    """Jobs whose result is recorded: the queue may forget them."""
    remove: list[str] = field(default_factory=list)
    """Jobs that nobody needs any more."""
    reprioritise: list[str] = field(default_factory=list)
    idle: int = 0
    """Rows that wait in the queue."""
    busy: int = 0
    """Rows that the queue has."""


def by_key(ads: Iterable[Mapping[str, Any]]) -> dict[Key, list[Mapping[str, Any]]]:
    """The jobs of campaigns by what they say they belong to, oldest first."""
    found: dict[Key, list[Mapping[str, Any]]] = {}
    for ad in sorted(ads, key=lambda ad: (ad["ClusterId"], ad["ProcId"])):
        place = place_of(ad)
        if place is not None:
            found.setdefault(place, []).append(ad)
    return found


def look(
    campaign: Any,
    plan: Plan,
    rows: Iterable[Any],
    queue: Mapping[Key, list[Mapping[str, Any]]],
    past: Callable[[list[str]], Mapping[str, Mapping[str, Any]]],
    written: Callable[[Mapping[str, Any]], Written],
    stage_out: Stage,
    now: float,
) -> Look:
    """Judge the rows of a campaign that the queue has, or may have.

    Args:
        campaign: The campaign: `id`, `centre`, `user`, `state`, `revision`.
        plan: Its plan.
        rows: Its rows that are on their way through the queue.
        queue: The jobs of all campaigns, looked up *before* the rows.
        past: What the history says of jobs, by id.
        written: What a finished job wrote.
        stage_out: Stores the outputs of a job that did well.
        now: Unix time.
    """
    found = Look()
    missing = []
    for row in rows:
        jobs = _own(campaign, queue.get((campaign.id, row.id, row.attempt), []))
        found.remove += [job_of(ad) for ad in jobs[1:]]
        if jobs:
            _there(found, campaign, plan, row, jobs[0], written, stage_out, now)
        elif row.state == RowState.SUBMITTING:
            # The process that was to submit it died before it did: whoever submits commits, or nothing is there.
            found.changes[row.id] = _back(campaign)
        else:
            missing.append(row)
    history = past([row.job for row in missing]) if missing else {}
    for row in missing:
        ad = history.get(row.job)
        end = ending.gone(ad)
        if row.recalled and end.fault in (Fault.REMOVED, Fault.NODE):
            found.changes[row.id] = _back(campaign)
        else:
            _ended(found, plan, row, ad or {}, end, now)
    return found


def leave(found: Look, ads: Iterable[Mapping[str, Any]]) -> None:
    """Jobs of attempts that are over: the queue has not let them go yet, or a conductor was killed before it said so."""
    for ad in ads:
        if number_of(ad, "JobStatus") != _FINISHED:
            found.remove.append(job_of(ad))
        elif ad.get("FallowTaken") is not True:
            found.take.append(job_of(ad))


def _there(
    found: Look,
    campaign: Any,
    plan: Plan,
    row: Any,
    ad: Mapping[str, Any],
    written: Callable[[Mapping[str, Any]], Written],
    stage_out: Stage,
    now: float,
) -> None:
    status, job = int(number_of(ad, "JobStatus") or 0), job_of(ad)
    if status == _FINISHED:
        wrote = written(ad)
        over = ending.finished(ad, wrote.stderr.decode("utf-8", "replace"))
        outputs = "[]"
        if over.fault is None and plan.stages[row.stage].outputs:
            staged = stage_out(campaign, plan, row, ad)
            if staged is None:
                found.busy += 1
                return  # the store is away: the job stays where it is, with its files
            over, outputs = (over, staged) if isinstance(staged, str) else (staged, outputs)
        found.logs[row.id, row.attempt] = wrote
        found.take.append(job)
        _ended(found, plan, row, ad, over, now)
        found.changes[row.id]["outputs"] = outputs
        return
    if status == _REMOVED:
        return
    if status == _HELD and number_of(ad, "HoldReasonCode") in COMING:
        late = now - (number_of(ad, "EnteredCurrentStatus") or now) > COMES_WITHIN_S
        if row.state == RowState.SUBMITTING or late:  # it never came as a whole
            found.remove.append(job)
            found.changes[row.id] = _back(campaign)
        return
    end = ending.held(ad) if status == _HELD else None
    if end is not None:
        found.logs[row.id, row.attempt] = written(ad)
        found.remove.append(job)
        _ended(found, plan, row, ad, end, now)
        return
    state = RowState.RUNNING if status in _RUNNING else RowState.HELD if status == _HELD else RowState.QUEUED
    centre = str(ad.get("MachineAttrFallowCentre0") or "") if state is RowState.RUNNING else ""
    found.busy += 1
    found.idle += state is RowState.QUEUED
    stopped = campaign.state == CampaignState.CANCELLED
    stale = campaign.state != CampaignState.RUNNING or row.revision != campaign.revision
    recall = stopped or (state is RowState.QUEUED and stale)
    if recall:
        found.remove.append(job)
    elif number_of(ad, "JobPrio") != plan.priority:
        found.reprioritise.append(job)
    new = {"state": state.value, "centre": centre, "job": job, "recalled": int(recall or row.recalled)}
    if any(getattr(row, name) != value for name, value in new.items()):
        found.changes[row.id] = new


def _ended(found: Look, plan: Plan, row: Any, ad: Mapping[str, Any], end: Ending, now: float) -> None:
    began = number_of(ad, "JobCurrentStartDate")
    over = number_of(ad, "CompletionDate") or number_of(ad, "EnteredCurrentStatus") or now
    change = after(
        plan,
        row,
        end,
        centre=str(ad.get("MachineAttrFallowCentre0") or "")[:63],
        pilot=str(ad.get("MachineAttrFallowPilot0") or ""),
        ended=now,
        wall_s=None if began is None else max(0.0, over - began),
    )
    found.changes[row.id] = {**({"job": job_of(ad)} if ad else {}), **change}
    if change["state"] == RowState.DONE:
        found.done.append((row.stage, row.row_id))
    found.again += change["state"] == RowState.WAITING


def _back(campaign: Any) -> dict[str, Any]:
    cancelled = campaign.state == CampaignState.CANCELLED
    return {**WAITS, "state": RowState.CANCELLED.value} if cancelled else dict(WAITS)


def _own(campaign: Any, ads: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of some jobs that are really the campaign owner's: anybody may write a run and a key into a job."""
    return [ad for ad in ads if ad.get("Owner") == f"{campaign.centre}.{campaign.user}"]

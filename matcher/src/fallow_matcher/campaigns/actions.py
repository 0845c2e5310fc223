"""What an owner does with a campaign: pause, resume, set, retry, cancel. The conductor carries it out in the queue."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from fallow.campaigns.messages import CampaignState, Change, Plan, RowState, Selection
from fallow.errors import RefusedError, UsageError
from fallow_matcher.campaigns.query import chosen
from fallow_matcher.campaigns.tables import CAMPAIGN, ROW

ACTIVE = (RowState.SUBMITTING, RowState.QUEUED, RowState.RUNNING, RowState.HELD)
"""Rows that the queue has, or may have."""


def pause(connection: Connection, campaign: Row[Any], reason: str, now: float) -> int:
    """Start nothing more; how many rows wait."""
    _require(campaign, CampaignState.RUNNING, CampaignState.PAUSED)
    _set(connection, campaign, now, state=CampaignState.PAUSED.value, reason=reason)
    return _count(connection, campaign, RowState.WAITING)


def resume(connection: Connection, campaign: Row[Any], now: float) -> int:
    """Go on; failures of before do not count any more. How many rows wait."""
    _require(campaign, CampaignState.PAUSED, CampaignState.RUNNING)
    _set(connection, campaign, now, state=CampaignState.RUNNING.value, reason="", judged_from=now)
    return _count(connection, campaign, RowState.WAITING)


def cancel(connection: Connection, campaign: Row[Any], now: float) -> int:
    """End it: what waits never starts, what runs is stopped. How many rows that were."""
    _set(connection, campaign, now, state=CampaignState.CANCELLED.value, reason="Cancelled by its owner.")
    waiting = (RowState.BLOCKED.value, RowState.WAITING.value)
    stopped = connection.execute(
        update(ROW)
        .where(ROW.c.campaign == campaign.id, ROW.c.state.in_(waiting))
        .values(state=RowState.CANCELLED.value)
    ).rowcount
    return int(stopped) + _count(connection, campaign, *ACTIVE)


def change(connection: Connection, campaign: Row[Any], wanted: Change, now: float) -> int:
    """Change what is to come; jobs that wait in the queue are taken back and come again. How many rows that concerns.

    Raises:
        UsageError: There is no such stage, or nothing was asked for.
    """
    asked: dict[str, Any] = wanted.model_dump(exclude_none=True)
    outer: dict[str, Any] = {name: asked.pop(name) for name in ("priority", "max_waiting") if name in asked}
    only = asked.pop("stage", None)
    if not outer and not asked:
        raise UsageError("Nothing is to be changed.", remedy="Name a priority or resources.")
    plan = Plan.model_validate_json(campaign.plan)
    if only is not None:
        chosen(plan, campaign.id, Selection(stage=only))
    stages = [
        stage.model_copy(update=asked) if only in (None, stage.name) else stage for stage in plan.stages
    ]
    changed = plan.model_copy(update={**outer, "stages": stages})
    revision = campaign.revision + (1 if asked else 0)
    _set(connection, campaign, now, plan=changed.model_dump_json(), revision=revision)
    return _count(connection, campaign, RowState.BLOCKED, RowState.WAITING, RowState.QUEUED)


def retry(connection: Connection, campaign: Row[Any], selection: Selection, now: float) -> int:
    """Run rows again that failed or were cancelled, with all their retries. How many.

    Raises:
        RefusedError: The campaign is cancelled.
    """
    _require(campaign, CampaignState.RUNNING, CampaignState.PAUSED, CampaignState.FINISHED)
    state = selection.state or RowState.FAILED
    if state not in (RowState.FAILED, RowState.CANCELLED):
        raise UsageError(
            f"Rows that are {state.value} cannot be retried.", remedy="Name failed or cancelled."
        )
    plan = Plan.model_validate_json(campaign.plan)
    where = chosen(plan, campaign.id, selection.model_copy(update={"state": state}))
    again = {
        "state": RowState.WAITING.value,
        "own_failures": 0,
        "node_failures": 0,
        "centre": "",
        "failure": "",
        "signature": "",
        "ended": None,
    }
    rows = int(connection.execute(update(ROW).where(*where).values(again)).rowcount)
    if rows and campaign.state == CampaignState.FINISHED:
        _set(connection, campaign, now, state=CampaignState.RUNNING.value, reason="")
    if rows:
        _set(connection, campaign, now, judged_from=now)
    return rows


def _set(connection: Connection, campaign: Row[Any], now: float, **values: Any) -> None:
    connection.execute(update(CAMPAIGN).where(CAMPAIGN.c.id == campaign.id).values(changed=now, **values))


def _count(connection: Connection, campaign: Row[Any], *states: RowState) -> int:
    query = select(func.count()).where(
        ROW.c.campaign == campaign.id, ROW.c.state.in_([state.value for state in states])
    )
    return int(connection.execute(query).scalar_one())


def _require(campaign: Row[Any], *states: CampaignState) -> None:
    if campaign.state not in states:
        raise RefusedError(
            f"The campaign {campaign.name} is {campaign.state}.", remedy="See: fallow campaign status"
        )

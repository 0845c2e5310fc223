"""The conductor's part of the database: rows that the queue has, rows to hand to it, and what became of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from fallow.campaigns.messages import CampaignState, Plan, RowState
from fallow_matcher.campaigns.actions import ACTIVE
from fallow_matcher.campaigns.following import tripped
from fallow_matcher.campaigns.logs import Written
from fallow_matcher.campaigns.tables import CAMPAIGN, LOG, ROW

_AT_ONCE = 500


def stirring(connection: Connection, seen: Iterable[int]) -> list[Row[Any]]:
    """Campaigns that may have jobs in the queue or get some; of others those that were `seen` there."""
    active = select(ROW.c.campaign).where(ROW.c.campaign == CAMPAIGN.c.id, _in(ACTIVE))
    states = [CampaignState.RUNNING.value, CampaignState.PAUSED.value]
    where = CAMPAIGN.c.state.in_(states) | active.exists() | CAMPAIGN.c.id.in_(sorted(seen))
    query = select(CAMPAIGN).where(where)
    return list(connection.execute(query.order_by(CAMPAIGN.c.id)).all())


def active(connection: Connection, campaign: int) -> list[Row[Any]]:
    """The rows of a campaign that the queue has, or may have."""
    return list(connection.execute(select(ROW).where(ROW.c.campaign == campaign, _in(ACTIVE))).all())


def waiting(connection: Connection, campaign: int, stages: int, limit: int) -> list[Row[Any]]:
    """Rows to submit next: of the last stage first, so that what has begun is finished; oldest first."""
    found: list[Row[Any]] = []
    for stage in reversed(range(stages)):
        if len(found) >= limit:
            break
        query = (
            select(ROW)
            .where(ROW.c.campaign == campaign, ROW.c.state == RowState.WAITING.value, ROW.c.stage == stage)
            .order_by(ROW.c.centre, ROW.c.failure, ROW.c.signature, ROW.c.id)
            .limit(limit - len(found))
        )
        found += connection.execute(query).all()
    return found


def save(connection: Connection, changes: Mapping[int, Mapping[str, Any]]) -> None:
    """Write what changes of rows, by their number."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for number, change in changes.items():
        names = tuple(sorted(change))
        alike.setdefault(names, []).append({"of_row": number, **{f"new_{n}": change[n] for n in names}})
    for names, rows in alike.items():
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
        connection.execute(update(ROW).where(ROW.c.id == bindparam("of_row")).values(**values), rows)


def keep(connection: Connection, logs: Mapping[tuple[int, int], Written]) -> None:
    """Keep what attempts wrote, by row and attempt; in place of what is kept of them already."""
    for (row, attempt), log in logs.items():
        connection.execute(delete(LOG).where(LOG.c.row == row, LOG.c.attempt == attempt))
        connection.execute(insert(LOG).values(log.row(row, attempt)))


def spend(connection: Connection, campaign: int, attempts: int) -> None:
    """Count attempts beyond the first of rows."""
    if attempts:
        here = CAMPAIGN.c.id == campaign
        connection.execute(update(CAMPAIGN).where(here).values(retried=CAMPAIGN.c.retried + attempts))


def unlock(connection: Connection, campaign: int, plan: Plan, done: Sequence[tuple[int, str]]) -> None:
    """Let rows wait for a slot that waited for these rows (stage and id), or for all of their stage.

    Args:
        connection: A transaction that writes.
        campaign: The campaign.
        plan: Its plan.
        done: What has just been done.
    """
    names = {stage.name: number for number, stage in enumerate(plan.stages)}
    for number, stage in enumerate(plan.stages):
        if stage.after is None:
            continue
        before = names[stage.after]
        blocked = (
            ROW.c.campaign == campaign,
            ROW.c.stage == number,
            ROW.c.state == RowState.BLOCKED.value,
        )
        free = {"state": RowState.WAITING.value}
        if stage.start == "row":
            ids = [row_id for where, row_id in done if where == before]
            for first in range(0, len(ids), _AT_ONCE):
                part = ROW.c.row_id.in_(ids[first : first + _AT_ONCE])
                connection.execute(update(ROW).where(*blocked, part).values(free))
        elif not _left(connection, campaign, before) and _any(connection, campaign, number, RowState.BLOCKED):
            connection.execute(update(ROW).where(*blocked).values(free))


def settle(connection: Connection, campaign: Row[Any], plan: Plan, now: float) -> str:
    """Pause a campaign whose rows fail, finish one whose rows have ended; what it says of itself, if anything."""
    query = (
        select(ROW.c.state)
        .where(ROW.c.campaign == campaign.id, ROW.c.ended >= campaign.judged_from)
        .where(ROW.c.state.in_([RowState.DONE.value, RowState.FAILED.value]))
        .order_by(ROW.c.ended.desc())
        .limit(plan.pause.of)
    )
    failed = tripped(list(connection.scalars(query)), plan.pause.of, plan.pause.share)
    if campaign.state == CampaignState.RUNNING and failed is not None:
        why = _most(connection, campaign)
        words = f"Paused itself: {failed} of the last {plan.pause.of} rows failed, most with {why}."
        _change(connection, campaign, now, CampaignState.PAUSED, words)
        return words
    moving = [RowState.WAITING, *ACTIVE]
    if campaign.state != CampaignState.RUNNING or any(
        _any(connection, campaign.id, None, state) for state in moving
    ):
        return ""
    blocked = connection.execute(
        select(func.count()).where(ROW.c.campaign == campaign.id, ROW.c.state == RowState.BLOCKED.value)
    ).scalar_one()
    words = f"{blocked} rows wait for rows that failed or were cancelled; retry these." if blocked else ""
    _change(connection, campaign, now, CampaignState.FINISHED, words)
    return words or "finished"


def waits_for(connection: Connection, campaign: Row[Any], plan: Plan) -> list[str]:
    """The earlier campaigns of the same owner that are not done yet, or that nobody has injected."""
    if not plan.after:
        return []
    found = connection.execute(
        select(CAMPAIGN.c.id, CAMPAIGN.c.name, CAMPAIGN.c.state).where(
            CAMPAIGN.c.centre == campaign.centre,
            CAMPAIGN.c.user == campaign.user,
            CAMPAIGN.c.name.in_(plan.after),
        )
    ).all()
    done = {
        row.name
        for row in found
        if row.state == CampaignState.FINISHED and not _left(connection, row.id, None)
    }
    return [name for name in plan.after if name not in done]


def say(connection: Connection, campaign: Row[Any], reason: str) -> None:
    """Say why a campaign waits; it is not a change of it."""
    if campaign.reason != reason:
        connection.execute(update(CAMPAIGN).where(CAMPAIGN.c.id == campaign.id).values(reason=reason))


def _left(connection: Connection, campaign: int, stage: int | None) -> bool:
    """Whether a stage (or any) has rows that are not done."""
    return any(_any(connection, campaign, stage, state) for state in RowState if state is not RowState.DONE)


def _any(connection: Connection, campaign: int, stage: int | None, state: RowState) -> bool:
    query = select(ROW.c.id).where(ROW.c.campaign == campaign, ROW.c.state == state.value)
    if stage is not None:
        query = query.where(ROW.c.stage == stage)
    return connection.execute(query.limit(1)).first() is not None


def _most(connection: Connection, campaign: Row[Any]) -> str:
    query = (
        select(ROW.c.signature)
        .where(ROW.c.campaign == campaign.id, ROW.c.state == RowState.FAILED.value)
        .group_by(ROW.c.signature)
        .order_by(func.count().desc())
        .limit(1)
    )
    return str(connection.execute(query).scalar_one_or_none() or "no reason")


def _change(
    connection: Connection, campaign: Row[Any], now: float, state: CampaignState, reason: str
) -> None:
    values = {"state": state.value, "reason": reason, "changed": now}
    connection.execute(update(CAMPAIGN).where(CAMPAIGN.c.id == campaign.id).values(values))


def _in(states: Iterable[RowState] | Collection[RowState]) -> Any:
    return ROW.c.state.in_([state.value for state in states])

"""What is known of campaigns: sums that an index answers, pages of rows, what a row wrote."""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from fallow.campaigns.messages import (
    Campaign,
    CampaignState,
    Counts,
    Failure,
    Log,
    Plan,
    RowInfo,
    RowState,
    Selection,
    Status,
    Stored,
)
from fallow_matcher.campaigns.injection import stage_of
from fallow_matcher.campaigns.tables import CAMPAIGN, LOG, ROW

FAILURES = 100
"""The most groups of failures that are told."""


def find(connection: Connection, centre: str, name: str) -> Row[Any] | None:
    """A campaign of a centre; None where it has none of that name."""
    return connection.execute(
        select(CAMPAIGN).where(CAMPAIGN.c.centre == centre, CAMPAIGN.c.name == name)
    ).one_or_none()


def campaigns(connection: Connection, centre: str, user: str | None) -> list[Campaign]:
    """A user's campaigns, or all of a centre, the latest first."""
    whose = [CAMPAIGN.c.centre == centre, *([] if user is None else [CAMPAIGN.c.user == user])]
    found = connection.execute(select(CAMPAIGN).where(*whose).order_by(CAMPAIGN.c.id.desc())).all()
    return [_campaign(row, counts(connection, row)) for row in found]


def counts(connection: Connection, campaign: Row[Any]) -> list[Counts]:
    """How many rows are where, from the index alone."""
    names = [stage.name for stage in Plan.model_validate_json(campaign.plan).stages]
    keys = (ROW.c.stage, ROW.c.state, ROW.c.centre, ROW.c.failure)
    found = connection.execute(
        select(*keys, func.count()).where(ROW.c.campaign == campaign.id).group_by(*keys).order_by(*keys)
    )
    return [
        Counts(stage=names[stage], state=RowState(state), centre=centre, failure=failure, rows=rows)
        for stage, state, centre, failure, rows in found
    ]


def status(connection: Connection, campaign: Row[Any]) -> Status:
    """A campaign in sums."""
    found = counts(connection, campaign)
    return Status(
        campaign=_campaign(campaign, found),
        counts=found,
        failures=_failures(connection, campaign),
        retried=campaign.retried,
    )


def _failures(connection: Connection, campaign: Row[Any]) -> list[Failure]:
    """Rows that failed alike, the most frequent first."""
    names = [stage.name for stage in Plan.model_validate_json(campaign.plan).stages]
    keys = (ROW.c.stage, ROW.c.centre, ROW.c.failure, ROW.c.signature)
    found = connection.execute(
        select(*keys, func.count(), func.min(ROW.c.id))
        .where(ROW.c.campaign == campaign.id, ROW.c.state == RowState.FAILED.value)
        .group_by(*keys)
    )
    groups: dict[tuple[int, str, str], tuple[dict[str, int], list[int]]] = defaultdict(lambda: ({}, []))
    for stage, centre, failure, signature, rows, first in found:
        centres, samples = groups[stage, failure, signature]
        centres[centre] = rows
        samples.append(first)
    top = sorted(groups.items(), key=lambda item: -sum(item[1][0].values()))[:FAILURES]
    wanted = [min(samples) for _, (_, samples) in top]
    chosen_rows = connection.execute(select(ROW.c.id, ROW.c.row_id).where(ROW.c.id.in_(wanted)))
    ids = {row.id: row.row_id for row in chosen_rows}
    return [
        Failure(
            stage=names[stage],
            failure=failure,
            signature=signature,
            rows=sum(centres.values()),
            sample=ids[min(samples)],
            centres=centres,
        )
        for (stage, failure, signature), (centres, samples) in top
    ]


def rows(
    connection: Connection, campaign: Row[Any], selection: Selection, after: int, limit: int
) -> list[RowInfo]:
    """Rows that a selection holds for, in the order in which they were injected."""
    plan = Plan.model_validate_json(campaign.plan)
    found = connection.execute(
        select(ROW)
        .where(*chosen(plan, campaign.id, selection), ROW.c.id > after)
        .order_by(ROW.c.id)
        .limit(limit)
    )
    return [_row(plan, row) for row in found]


def chosen(plan: Plan, campaign: int, selection: Selection) -> list[ColumnElement[bool]]:
    """A selection as conditions.

    Raises:
        UsageError: There is no such stage.
    """
    found: list[ColumnElement[bool]] = [ROW.c.campaign == campaign]
    if selection.stage is not None:
        found.append(ROW.c.stage == stage_of(plan, selection.stage)[0])
    if selection.state is not None:
        found.append(ROW.c.state == selection.state.value)
    for name in ("centre", "failure", "signature", "exit_code"):
        value = getattr(selection, name)
        if value is not None:
            found.append(ROW.c[name] == value)
    if selection.ids:
        found.append(ROW.c.row_id.in_(selection.ids))
    return found


def log(
    connection: Connection, campaign: Row[Any], stage: str | None, row_id: str, attempt: int | None
) -> Log | None:
    """What the last attempt of a row wrote that left something, or that attempt; None where nothing is kept."""
    plan = Plan.model_validate_json(campaign.plan)
    where = chosen(plan, campaign.id, Selection(stage=stage, ids=[row_id]))
    query = select(LOG, ROW.c.stage).join(ROW, ROW.c.id == LOG.c.row).where(*where)
    if attempt is not None:
        query = query.where(LOG.c.attempt == attempt)
    found = connection.execute(query.order_by(ROW.c.stage.desc(), LOG.c.attempt.desc()).limit(1)).first()
    if found is None:
        return None
    return Log(
        id=row_id,
        stage=plan.stages[found.stage].name,
        attempt=found.attempt,
        stdout=_text(found.stdout),
        stderr=_text(found.stderr),
        truncated=found.truncated,
    )


def _campaign(row: Row[Any], found: list[Counts]) -> Campaign:
    plan = Plan.model_validate_json(row.plan)
    ended = {state: sum(one.rows for one in found if one.state is state) for state in RowState}
    return Campaign(
        name=row.name,
        owner=f"{row.centre}.{row.user}",
        digest=row.digest,
        state=CampaignState(row.state),
        reason=row.reason,
        priority=plan.priority,
        created=_moment(row.created),
        changed=_moment(row.changed),
        deadline=plan.deadline,
        notes=plan.notes,
        rows=sum(ended.values()),
        done=ended[RowState.DONE],
        failed=ended[RowState.FAILED],
    )


def _row(plan: Plan, row: Row[Any]) -> RowInfo:
    return RowInfo(
        number=row.id,
        stage=plan.stages[row.stage].name,
        id=row.row_id,
        state=RowState(row.state),
        attempt=row.attempt,
        job="" if row.state == RowState.SUBMITTING else row.job,  # not a job's id before it is submitted
        centre=row.centre,
        failure=row.failure,
        signature=row.signature,
        exit_code=row.exit_code,
        reason=row.reason,
        ended=None if row.ended is None else _moment(row.ended),
        wall_s=row.wall_s,
        values=json.loads(row.cells),
        outputs=[Stored.model_validate(one) for one in json.loads(row.outputs)],
    )


def _moment(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)


def _text(packed: bytes) -> str:
    return zlib.decompress(packed).decode("utf-8", errors="replace")

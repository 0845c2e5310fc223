"""Injection: a campaign and its rows into the database, every row once, however often and by how many it is tried."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Connection, Row, Text, bindparam, cast, func, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite

from fallow.campaigns.messages import CampaignState, NewRows, Plan, PlanStage, RowState
from fallow.campaigns.plan import digest
from fallow.errors import RefusedError, UsageError
from fallow_matcher.campaigns.tables import CAMPAIGN, NEW_ROW, ROW

ROWS = 2_000_000
"""Rows that one stage of a campaign may have."""


@dataclass(frozen=True)
class Owner:
    """Who injects: whose jobs the rows become."""

    centre: str
    user: str
    iss: str
    jti: str
    work_types: tuple[str, ...]
    """The restricted work types that the owner's token allows."""


class OtherCampaignError(RefusedError):
    """The name stands for another campaign."""


def begin(connection: Connection, plan: Plan, owner: Owner, now: float) -> Row[Any]:
    """The campaign of that name, made where there is none.

    Raises:
        OtherCampaignError: The name is taken by another document, or by somebody else at the centre.
    """
    wanted = digest(plan)
    new = {
        "centre": owner.centre,
        "user": owner.user,
        "name": plan.name,
        "digest": wanted,
        "plan": plan.model_dump_json(),
        "state": CampaignState.INJECTING.value,
        "reason": "",
        "revision": 0,
        "retried": 0,
        "judged_from": now,
        "work_types": " ".join(owner.work_types),
        "iss": owner.iss,
        "jti": owner.jti,
        "created": now,
        "changed": now,
    }
    connection.execute(_insert(connection, CAMPAIGN).on_conflict_do_nothing(), new)
    found = connection.execute(
        select(CAMPAIGN).where(CAMPAIGN.c.centre == owner.centre, CAMPAIGN.c.name == plan.name)
    ).one()
    if found.user != owner.user:
        raise OtherCampaignError(
            f"The campaign {plan.name} is {found.centre}.{found.user}'s.", remedy="Choose another name."
        )
    if found.digest != wanted:
        raise OtherCampaignError(
            f"The campaign {plan.name} was injected from another document: only its rows can grow.",
            remedy="Take the change back, change what waits with `fallow campaign set`, or choose another name.",
        )
    if found.state == CampaignState.CANCELLED:
        raise OtherCampaignError(f"The campaign {plan.name} is cancelled.", remedy="Choose another name.")
    return found


def add(connection: Connection, campaign: Row[Any], rows: NewRows) -> tuple[int, int]:
    """Add rows that the campaign has not; how many were added, and how many it had.

    Raises:
        UsageError: A row cannot be, or there is no such stage.
        OtherCampaignError: A row of that id has other values, or what waits for all rows has begun.
    """
    plan = Plan.model_validate_json(campaign.plan)
    number, stage = stage_of(plan, rows.stage)
    _require_sound(stage, rows)
    state = RowState.WAITING if stage.after is None else RowState.BLOCKED
    new = [{"row_id": name, "cells": _cells(values)} for name, values in rows.rows]
    if not new:
        return 0, 0
    # What is alike in all rows stands in the statement: each row then costs two values instead of twenty. These are
    # numbers and words of ours, which SQL and Python spell alike.
    alike = {"campaign": campaign.id, "stage": number, "state": state.value, **NEW_ROW}
    statement = _insert(connection, ROW).values(
        {name: bindparam(name) for name in ("row_id", "cells")}
        | {name: literal_column(repr(value)) for name, value in alike.items() if value is not None}
    )
    added = int(
        connection.execution_options(preserve_rowcount=True)
        .execute(statement.on_conflict_do_nothing(), new)
        .rowcount
    )
    if added < len(new):
        _require_same(connection, campaign.id, number, new)
    here = (ROW.c.campaign == campaign.id, ROW.c.stage == number)
    if added and connection.execute(select(func.count()).where(*here)).scalar_one() > ROWS:
        raise UsageError(f"A stage has at most {ROWS} rows.", remedy="Split the campaign.")
    if added and _have_begun(connection, campaign.id, plan, stage.name):
        raise OtherCampaignError(
            f"A stage that waits for all rows of {stage.name} has begun, so no more can be added.",
            remedy="Inject them as a campaign of another name.",
        )
    return added, len(new) - added


def seal(connection: Connection, campaign: Row[Any], now: float) -> None:
    """All rows are there: the campaign may start, and rows whose earlier stage is done already may follow.

    Raises:
        UsageError: A stage has no rows.
    """
    plan = Plan.model_validate_json(campaign.plan)
    for number, stage in enumerate(plan.stages):
        here = (ROW.c.campaign == campaign.id, ROW.c.stage == number)
        if connection.execute(select(ROW.c.id).where(*here).limit(1)).first() is None:
            raise UsageError(f"Stage {stage.name} has no rows.", remedy="Inject them first.")
        if stage.after is not None and stage.start == "row":
            before, _ = stage_of(plan, stage.after)
            ready = select(ROW.c.row_id).where(
                ROW.c.campaign == campaign.id, ROW.c.stage == before, ROW.c.state == RowState.DONE.value
            )
            blocked = ROW.c.state == RowState.BLOCKED.value
            connection.execute(
                update(ROW)
                .where(*here, blocked, ROW.c.row_id.in_(ready))
                .values(state=RowState.WAITING.value)
            )
    waiting = select(ROW.c.id).where(ROW.c.campaign == campaign.id, ROW.c.state == RowState.WAITING.value)
    over = campaign.state == CampaignState.FINISHED and connection.execute(waiting.limit(1)).first()
    if campaign.state == CampaignState.INJECTING or over:
        here = CAMPAIGN.c.id == campaign.id
        values = {"state": CampaignState.RUNNING.value, "reason": "", "changed": now, "judged_from": now}
        connection.execute(update(CAMPAIGN).where(here).values(values))


def stage_of(plan: Plan, name: str) -> tuple[int, PlanStage]:
    """A stage and its number.

    Raises:
        UsageError: There is none of that name.
    """
    for number, stage in enumerate(plan.stages):
        if stage.name == name:
            return number, stage
    raise UsageError(
        f"The campaign {plan.name} has no stage {name!r}.",
        remedy=f"It has {', '.join(stage.name for stage in plan.stages)}.",
    )


def _require_sound(stage: PlanStage, rows: NewRows) -> None:
    for name, values in rows.rows:
        if len(values) != len(stage.columns):
            raise UsageError(
                f"Row {name!r} has {len(values)} values; there are {len(stage.columns)} columns."
            )
        for text in (name, *values):
            if not text.isprintable() or "$$" in text or len(text) > 4000:
                raise UsageError(f"Row {name!r} holds text that cannot stand in a job.")


def _require_same(connection: Connection, campaign: int, stage: int, rows: Sequence[dict[str, Any]]) -> None:
    wanted = {row["row_id"]: row["cells"] for row in rows}
    ids = json.dumps(list(wanted))
    each = (
        func.json_array_elements_text(cast(ids, Text).cast(JSON)).table_valued("value")
        if connection.dialect.name == "postgresql"
        else func.json_each(ids).table_valued("value")
    )
    query = select(ROW.c.row_id, ROW.c.cells).where(
        ROW.c.campaign == campaign, ROW.c.stage == stage, ROW.c.row_id.in_(select(each.c.value))
    )
    for row_id, cells in connection.execute(query):
        if cells != wanted[row_id]:
            raise OtherCampaignError(
                f"Row {row_id!r} was injected with other values.", remedy="Give what is new an id of its own."
            )


def _have_begun(connection: Connection, campaign: int, plan: Plan, name: str) -> bool:
    for number, stage in enumerate(plan.stages):
        if stage.after == name and stage.start == "all":
            begun = select(ROW.c.id).where(
                ROW.c.campaign == campaign, ROW.c.stage == number, ROW.c.state != RowState.BLOCKED.value
            )
            if connection.execute(begun.limit(1)).first() is not None:
                return True
    return False


def _cells(values: Sequence[str]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def _insert(connection: Connection, table: Any) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)

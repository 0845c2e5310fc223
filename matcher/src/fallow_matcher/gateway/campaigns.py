"""The routes of campaigns: their owner injects, looks and steers, the centre's production managers look and steer; to
anybody else they are not there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query
from sqlalchemy import Connection, Row

from fallow.campaigns.document import CampaignName, StageName
from fallow.campaigns.messages import (
    Added,
    Campaigns,
    Change,
    Done,
    Log,
    NewRows,
    Plan,
    RowId,
    RowPage,
    RowState,
    Selection,
    Status,
)
from fallow.errors import RefusedError, UsageError
from fallow_matcher.campaigns import actions, injection, query
from fallow_matcher.database import reading, writing
from fallow_matcher.gateway.access import Access, User, UserWho
from fallow_matcher.gateway.errors import REFUSALS, GatewayError
from fallow_matcher.gateway.exchange import work_types_of
from fallow_matcher.gateway.hub import Hub
from fallow_matcher.room import REFUSAL, has_room

router = APIRouter(responses=REFUSALS)

PATH = "/v1/campaigns"
PAGE = 1000
STEERS = "production"
"""Members of the group `<centre root>/<centre>/production` look at and steer all campaigns of their centre."""

Reader = Annotated[User, Depends(Access(UserWho("query")))]
Submitter = Annotated[User, Depends(Access(UserWho("submit")))]
Editor = Annotated[User, Depends(Access(UserWho("edit")))]
Canceller = Annotated[User, Depends(Access(UserWho("cancel")))]

T = TypeVar("T")
Act = Callable[[Connection, Row[Any], float], int]


@router.get(PATH)
def get_campaigns(hub: Hub, caller: Reader) -> Campaigns:
    """The caller's campaigns, or all of the centre for who steers them, the latest first."""
    with reading(hub.database) as connection:
        return Campaigns(
            campaigns=query.campaigns(connection, caller.centre, None if _steers(caller) else caller.name)
        )


@router.post(PATH)
def post_campaign(hub: Hub, plan: Plan, caller: Submitter) -> Status:
    """Begin to inject a campaign, or go on with it; nothing of a new one starts before its rows are complete."""
    _require_room(hub)
    types = work_types_of(caller, hub.settings.restricted_work_types)
    if plan.work_type in set(hub.settings.restricted_work_types) - set(types):
        raise GatewayError(
            403, "forbidden", f"The work type {plan.work_type} is for members of its group only."
        )
    owner = injection.Owner(caller.centre, caller.name, caller.iss, caller.jti, types)

    def begun(connection: Connection) -> Status:
        return query.status(connection, injection.begin(connection, plan, owner, time.time()))

    status = _written(hub, begun)
    hub.audit.write(
        "campaign_injected", iss=caller.iss, sub=caller.sub, jti=caller.jti, campaign=plan.name,
        digest=status.campaign.digest,
    )  # fmt: skip
    return status


@router.post(PATH + "/{name}/rows")
def post_rows(hub: Hub, name: CampaignName, rows: NewRows, caller: Submitter) -> Added:
    """Add the rows that the campaign has not."""
    _require_room(hub)

    def add(connection: Connection) -> Added:
        added, known = injection.add(connection, _own(connection, caller, name), rows)
        return Added(added=added, known=known)

    return _written(hub, add)


@router.post(PATH + "/{name}/complete")
def post_complete(hub: Hub, name: CampaignName, caller: Submitter) -> Status:
    """Say that all rows are there: the campaign starts."""

    def seal(connection: Connection) -> Status:
        injection.seal(connection, _own(connection, caller, name), time.time())
        return query.status(connection, _own(connection, caller, name))

    return _written(hub, seal)


@router.get(PATH + "/{name}")
def get_status(hub: Hub, name: CampaignName, caller: Reader) -> Status:
    """A campaign in sums."""
    with reading(hub.database) as connection:
        return query.status(connection, _steered(connection, caller, name))


@router.get(PATH + "/{name}/rows")
def get_rows(
    hub: Hub,
    name: CampaignName,
    caller: Reader,
    stage: StageName | None = None,
    state: RowState | None = None,
    centre: Annotated[str | None, Query(max_length=63)] = None,
    failure: Annotated[str | None, Query(max_length=32)] = None,
    signature: Annotated[str | None, Query(max_length=300)] = None,
    exit_code: Annotated[int | None, Query(ge=-(2**31), lt=2**31)] = None,
    id: Annotated[list[RowId] | None, Query(max_length=100)] = None,  # noqa: A002 - as people call it
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> RowPage:
    """Rows of a campaign, a page at a time, in the order in which they were injected."""
    wanted = Selection(
        stage=stage, state=state, centre=centre, failure=failure, signature=signature, exit_code=exit_code,
        ids=id or [],
    )  # fmt: skip
    try:
        with reading(hub.database) as connection:
            found = query.rows(connection, _steered(connection, caller, name), wanted, after, limit + 1)
    except UsageError as error:
        raise GatewayError(422, "invalid_request", error.what) from error
    return RowPage(rows=found[:limit], more=len(found) > limit)


@router.get(PATH + "/{name}/log")
def get_log(
    hub: Hub,
    name: CampaignName,
    caller: Reader,
    id: Annotated[str, Query(max_length=200)],  # noqa: A002 - as people call it
    stage: StageName | None = None,
    attempt: Annotated[int | None, Query(ge=1, le=10**9)] = None,
) -> Log:
    """What an attempt of a row wrote; of the last one that left something where none is named."""
    try:
        with reading(hub.database) as connection:
            found = query.log(connection, _steered(connection, caller, name), stage, id, attempt)
    except UsageError as error:
        raise GatewayError(422, "invalid_request", error.what) from error
    if found is None:
        raise GatewayError(404, "not_found", f"Nothing is kept of a row {id!r} that has ended.")
    return found


@router.post(PATH + "/{name}/pause")
def post_pause(hub: Hub, name: CampaignName, caller: Editor) -> Done:
    """Start nothing more; what runs goes on."""
    return _do(
        hub,
        caller,
        name,
        "pause",
        lambda at, found, now: actions.pause(at, found, f"Paused by {caller.name}.", now),
    )


@router.post(PATH + "/{name}/resume")
def post_resume(hub: Hub, name: CampaignName, caller: Editor) -> Done:
    """Go on."""
    return _do(hub, caller, name, "resume", actions.resume)


@router.post(PATH + "/{name}/cancel")
def post_cancel(hub: Hub, name: CampaignName, caller: Canceller) -> Done:
    """End the campaign: what waits never starts, what runs is stopped."""
    return _do(hub, caller, name, "cancel", actions.cancel)


@router.post(PATH + "/{name}/set")
def post_set(hub: Hub, name: CampaignName, wanted: Change, caller: Editor) -> Done:
    """Change priority or resources of what has not started."""
    return _do(hub, caller, name, "set", lambda at, found, now: actions.change(at, found, wanted, now))


@router.post(PATH + "/{name}/retry")
def post_retry(hub: Hub, name: CampaignName, wanted: Selection, caller: Submitter) -> Done:
    """Run failed rows again."""
    _require_room(hub)
    return _do(hub, caller, name, "retry", lambda at, found, now: actions.retry(at, found, wanted, now))


def _do(hub: Hub, caller: User, name: str, what: str, act: Act) -> Done:
    """Steer; whose campaign it was and who did it is written down where they are not the same."""

    def acted(connection: Connection) -> tuple[Done, str]:
        found = _steered(connection, caller, name)
        return Done(rows=act(connection, found, time.time())), found.user

    done, owner = _written(hub, acted)
    if owner != caller.name:
        hub.audit.write(
            "campaign_steered", iss=caller.iss, sub=caller.sub, jti=caller.jti, campaign=name,
            owner=f"{caller.centre}.{owner}", what=what,
        )  # fmt: skip
    return done


def _require_room(hub: Hub) -> None:
    """Take no new work while the hub's disk is almost full."""
    if not has_room(hub.settings):
        raise GatewayError(507, "insufficient_storage", REFUSAL, retry_after_s=300)


def _written(hub: Hub, call: Callable[[Connection], T]) -> T:
    """What a transaction gives; refusals as the gateway answers them."""
    try:
        with writing(hub.database) as connection:
            return call(connection)
    except UsageError as error:
        raise GatewayError(422, "invalid_request", str(error)) from error
    except RefusedError as error:
        raise GatewayError(409, "conflict", str(error)) from error


def _own(connection: Connection, caller: User, name: str) -> Row[Any]:
    """The caller's own campaign."""
    return _of(connection, caller, name, others=False)


def _steered(connection: Connection, caller: User, name: str) -> Row[Any]:
    """A campaign that the caller may look at and steer: an own one, or, with the centre's group, one of the centre."""
    return _of(connection, caller, name, others=_steers(caller))


def _of(connection: Connection, caller: User, name: str, *, others: bool) -> Row[Any]:
    found = query.find(connection, caller.centre, name)
    if found is None or (found.user != caller.name and not others):
        raise GatewayError(404, "not_found", f"You have no campaign {name!r}.")
    return found


def _steers(caller: User) -> bool:
    return bool(work_types_of(caller, (STEERS,)))

"""The routes of the ledger. Sums and balances are for everybody at a centre of the federation; lines, users and single
differences only for the people and the launcher of a centre that takes part in them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from fallow.ledger.messages import (
    AllPilots,
    Balance,
    Balances,
    Key,
    Lines,
    Reconciliation,
    Usage,
)
from fallow.ledger.monthly import Month, MonthReport, span
from fallow.offers import CentreName
from fallow.tokens import TokenError, authorise
from fallow_matcher.gateway.access import Access, Caller, Launcher, Policy, User
from fallow_matcher.gateway.errors import REFUSALS, GatewayError
from fallow_matcher.gateway.hub import Hub
from fallow_matcher.ledger import query, standings
from fallow_matcher.ledger.monthly import month_report
from fallow_matcher.ledger.reconcile import reconcile
from fallow_matcher.rules import current, in_force
from fallow_matcher.simulation.apart import alone, simulating
from fallow_matcher.simulation.recorded import Part
from fallow_matcher.simulation.saved import waits

router = APIRouter(responses=REFUSALS)


class UserOrLauncher(Policy):
    """Users whose token lets them look at jobs may, and launchers; pilots may not."""

    def require(self, caller: Caller | None, path: Mapping[str, str]) -> None:  # noqa: ARG002, D102
        if isinstance(caller, User):
            authorise(caller.claims, "query").require()
        elif not isinstance(caller, Launcher):
            raise TokenError("forbidden", "The ledger is for people and launchers.")


class OwnCentre(UserOrLauncher):
    """Of these those may who belong to the centre that the path names, and the hub's operators for every centre."""

    def require(self, caller: Caller | None, path: Mapping[str, str]) -> None:  # noqa: D102
        super().require(caller, path)
        operates = isinstance(caller, User) and caller.operates_hub
        if caller is None or not (operates or caller.centre == path.get("centre")):
            raise TokenError("forbidden", "A centre's report is for its own people and the hub's operators.")


_CALLER = Access(UserOrLauncher())

LINES = 1000
"""Lines of one page, and the most differences of one answer."""
_LATEST = 10_000_000_000


Who = Annotated[Caller, Depends(_CALLER)]
Since = Annotated[int, Query(ge=0, le=_LATEST, description="Unix time; only what ended from then on.")]
Until = Annotated[int, Query(ge=0, le=_LATEST, description="Unix time; only what ended before.")]


@router.get("/v1/ledger/balance")
def get_balance(hub: Hub, caller: Who) -> Balances:  # noqa: ARG001 - who asks does not matter
    """The standing of every centre now."""
    now, rules = time.time(), in_force(hub.database).rules
    found = standings(hub.database, now, rules)
    return Balances(
        at=datetime.fromtimestamp(now, UTC),
        half_life_s=rules.half_life_s,
        balances=[
            Balance(centre=centre, resource_class=kind, **vars(standing))
            for (centre, kind), standing in sorted(found.items())
        ],
    )


@router.get("/v1/ledger/usage")
def get_usage(
    hub: Hub,
    caller: Who,
    by: Annotated[list[Key] | None, Query(max_length=8)] = None,
    since: Since = 0,
    until: Until = _LATEST,
    consumer: CentreName | None = None,
    provider: CentreName | None = None,
    lent: bool = False,
) -> Usage:
    """Sums over runs. Users are told apart only among the jobs of the caller's own centre."""
    keys = by or [Key.CONSUMER]
    if Key.USER in keys:
        if consumer not in (None, caller.centre):
            raise GatewayError(403, "forbidden", f"Who used what at {consumer} is for its own people.")
        consumer = caller.centre
    found = query.sums(hub.database, keys, since, until, consumer=consumer, provider=provider, lent=lent)
    return Usage(since=_moment(since), until=_moment(until), sums=found)


@router.get("/v1/ledger/lines")
def get_lines(
    hub: Hub,
    caller: Who,
    since: Since = 0,
    until: Until = _LATEST,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
) -> Lines:
    """The runs in which the caller's centre gave or used, a page at a time, oldest entry first."""
    found = query.lines(hub.database, caller.centre, since, until, after=after, limit=LINES + 1)
    return Lines(centre=caller.centre, lines=found[:LINES], more=len(found) > LINES)


@router.get("/v1/ledger/report/{centre}")
def get_report(
    hub: Hub, centre: CentreName, caller: Annotated[Caller, Depends(Access(OwnCentre()))], month: Month
) -> MonthReport:
    """What a centre gave and got in one month of UTC, and what that saved its jobs in waiting; who helped whom."""
    if not simulating.acquire(blocking=False):
        raise GatewayError(429, "too_many_requests", "Another simulation runs.", retry_after_s=10)
    try:
        part = Part(centre, *(moment.timestamp() for moment in span(month)))
        # Alone every centre serves its own jobs as they come: no rule changes how long they wait then.
        waited = waits(hub.database, part, lambda work: alone(work, current(hub.database).document))
        found = month_report(hub.database, centre, month, waited)
    finally:
        simulating.release()
    hub.audit.write("report", iss=caller.iss, sub=caller.sub, jti=caller.jti, centre=centre, month=month)
    return found


@router.get("/v1/ledger/pilots")
def get_pilots(hub: Hub, caller: Who, since: Since = 0, until: Until = _LATEST) -> AllPilots:  # noqa: ARG001
    """What the pilots of every centre offered, by their own reports."""
    return AllPilots(centres=query.pilots(hub.database, since, until))


@router.get("/v1/ledger/reconciliation")
def get_reconciliation(hub: Hub, caller: Who, since: Since = 0, until: Until = _LATEST) -> Reconciliation:
    """How far the hub's view and the pilots' agree; single runs only of the caller's own centre."""
    agreements, differences = reconcile(hub.database, since, until, time.time())
    own = differences.get(caller.centre, [])
    return Reconciliation(
        since=_moment(since),
        until=_moment(until),
        centres=agreements,
        differences=own[:LINES],
        differences_left_out=max(0, len(own) - LINES),
    )


def _moment(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)

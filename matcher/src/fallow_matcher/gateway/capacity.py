"""The routes of capacity: what the centres offer, and what was offered and used over time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from fallow.capacity import CapacityHistory
from fallow.capacity_requests import CapacityRequests, RequestBody
from fallow.offers import CentreName, Offer, Offers
from fallow.tokens import TokenError
from fallow_matcher.capacity import requests, series
from fallow_matcher.capacity.refusal import refusal
from fallow_matcher.gateway.access import (
    Access,
    Anybody,
    Caller,
    CentresAdmin,
    Launcher,
    OwnCentresLauncher,
    Policy,
    User,
)
from fallow_matcher.gateway.errors import REFUSALS, GatewayError
from fallow_matcher.gateway.hub import Hub

router = APIRouter(responses=REFUSALS)

_ANYBODY = Depends(Access(Anybody()))
_LAUNCHER = Access(OwnCentresLauncher())
_ADMIN = Access(CentresAdmin())


class OfTheCentre(Policy):
    """The launcher of the centre that the path names may, and who speaks for it."""

    def require(self, caller: Caller | None, path: Mapping[str, str]) -> None:  # noqa: D102
        speaks = isinstance(caller, Launcher) or (isinstance(caller, User) and caller.speaks_for_centre)
        if caller is None or not speaks or caller.centre != path.get("centre"):
            raise TokenError("forbidden", "Only the centre's own launcher and admins may see this.")


_CENTRES = Access(OfTheCentre())

LONGEST_S = 400 * 86_400


@router.put("/v1/offers/{centre}", status_code=204)
def put_offer(
    hub: Hub, centre: CentreName, offer: Offer, caller: Annotated[Launcher, Depends(_LAUNCHER)]
) -> None:
    """Store the centre's offer until it expires."""
    now = datetime.now(UTC)
    if reason := refusal(offer, centre, now):
        raise GatewayError(422, "invalid_request", reason)
    hub.offers.put(offer, now)
    hub.launchers[centre] = caller.claims
    hub.audit.write(
        "offer",
        iss=caller.iss,
        sub=caller.sub,
        jti=caller.jti,
        centre=caller.centre,
        expires=offer.expires,
        state=offer.state.value,
    )


@router.get("/v1/offers", dependencies=[_ANYBODY])
def offers(hub: Hub) -> Offers:
    """The offers that have not expired."""
    return Offers(offers=hub.offers.standing(datetime.now(UTC)))


@router.get("/v1/capacity/history", dependencies=[_ANYBODY])
def history(hub: Hub, since_s: Annotated[int, Query(ge=60, le=LONGEST_S)] = 7 * 86_400) -> CapacityHistory:
    """What each centre offered, ran and used in the last `since_s` seconds."""
    until = datetime.now(UTC)
    since = until - timedelta(seconds=since_s)
    step_s, points = series.history(hub.database, since.timestamp(), until.timestamp())
    return CapacityHistory(since=since, until=until, step_s=step_s, points=points)


@router.get("/v1/requests/{centre}")
def get_requests(
    hub: Hub,
    centre: CentreName,
    caller: Annotated[Caller, Depends(_CENTRES)],  # noqa: ARG001 - which of them asks does not matter
) -> CapacityRequests:
    """The last request of an admin to the centre; only somebody at the centre does what it asks for."""
    offer = next((one for one in hub.offers.standing(datetime.now(UTC)) if one.centre == centre), None)
    return CapacityRequests(requests=requests.last(hub.database, centre, offer))


@router.put("/v1/requests/{centre}")
def put_request(
    hub: Hub, centre: CentreName, body: RequestBody, caller: Annotated[User, Depends(_ADMIN)]
) -> CapacityRequests:
    """Ask the own centre to withdraw its capacity, or to give again; the last request counts."""
    if caller.centre != centre:
        raise GatewayError(403, "forbidden", f"Only an admin of {centre} may ask it.")
    requests.ask(hub.database, centre, body, f"{centre}.{caller.name}", time.time())
    hub.audit.write(
        "capacity_request",
        iss=caller.iss,
        sub=caller.sub,
        jti=caller.jti,
        centre=centre,
        wanted=body.wanted.value,
    )
    return get_requests(hub, centre, caller)

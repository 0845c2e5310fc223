"""The routes of capacity: what the centres offer, and what was offered and used over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Query

from fallow.capacity import CapacityHistory
from fallow.offers import CentreName, Offer, Offers
from fallow_matcher.capacity import series
from fallow_matcher.capacity.refusal import refusal
from fallow_matcher.gateway.access import Access, Anybody, Launcher, OwnCentresLauncher
from fallow_matcher.gateway.errors import GatewayError
from fallow_matcher.gateway.hub import Hub

_ANYBODY = Depends(Access(Anybody()))
_LAUNCHER = Access(OwnCentresLauncher())

LONGEST_S = 400 * 86_400


def put_offer(
    hub: Hub, centre: CentreName, offer: Offer, caller: Annotated[Launcher, Depends(_LAUNCHER)]
) -> None:
    """Store the centre's offer until it expires."""
    now = datetime.now(UTC)
    if reason := refusal(offer, centre, now):
        raise GatewayError(422, "invalid_request", reason)
    hub.offers.put(offer, now)
    hub.audit.write(
        "offer",
        iss=caller.iss,
        sub=caller.sub,
        jti=caller.jti,
        centre=caller.centre,
        expires=offer.expires,
        state=offer.state.value,
    )


def offers(hub: Hub) -> Offers:
    """The offers that have not expired."""
    return Offers(offers=hub.offers.standing(datetime.now(UTC)))


def history(hub: Hub, since_s: Annotated[int, Query(ge=60, le=LONGEST_S)] = 7 * 86_400) -> CapacityHistory:
    """What each centre offered, ran and used in the last `since_s` seconds."""
    until = datetime.now(UTC)
    since = until - timedelta(seconds=since_s)
    step_s, points = series.history(hub.database, since.timestamp(), until.timestamp())
    return CapacityHistory(since=since, until=until, step_s=step_s, points=points)


def install(app: FastAPI) -> None:
    """Add every route; the dependency of each says who may call it."""
    app.put("/v1/offers/{centre}", status_code=204)(put_offer)
    app.get("/v1/offers", dependencies=[_ANYBODY])(offers)
    app.get("/v1/capacity/history", dependencies=[_ANYBODY])(history)

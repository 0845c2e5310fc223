"""The route by which a pilot gets access to the files of one job, and the documents by which the store knows the hub."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from fallow.errors import RefusedError
from fallow.storage.failures import StagingError, Trouble
from fallow.storage.grants import Grant, StagingRequest
from fallow.tokens import TokenError
from fallow_matcher.campaigns import grants
from fallow_matcher.campaigns.tickets import Tickets
from fallow_matcher.database import reading
from fallow_matcher.gateway.access import Access, Anybody, Caller, Pilot, Policy
from fallow_matcher.gateway.errors import REFUSALS, GatewayError
from fallow_matcher.gateway.hub import Hub
from fallow_matcher.gateway.objects import Objects
from fallow_matcher.gateway.webidentity import DISCOVERY_PATH, JWKS_PATH, WebIdentity

router = APIRouter(responses=REFUSALS)

_ANYBODY = Depends(Access(Anybody()))

_STATUS = {Trouble.MISSING: 404, Trouble.LARGE: 413}


class AnyPilot(Policy):
    """Pilots may; which job's files it is about is the ticket's word, which only the job's own pilot has."""

    def require(self, caller: Caller | None, path: Any) -> None:  # noqa: ARG002, D102
        if not isinstance(caller, Pilot):
            raise TokenError("forbidden", "Only pilots stage files of jobs.")


_PILOT = Access(AnyPilot(), counts=False)


@router.post("/v1/staging")
def post_staging(
    hub: Hub, response: Response, caller: Annotated[Pilot, Depends(_PILOT)], wanted: StagingRequest
) -> Grant:
    """Short-lived access to the inputs, or for the outputs, of one job that is on its way; asked again it is renewed."""
    try:
        place = Tickets(hub.settings.state_dir).place(wanted.ticket)
        hub.limits.count_caller("ticket", str(place))
        with reading(hub.database) as connection:
            campaign, row = grants.find(connection, place)
            gather = grants.gathered(connection, campaign, row) if wanted.outputs is None else []
        objects = Objects(hub.settings, hub.store)
        given = grants.grant(hub.settings, objects, campaign, row, wanted, gather)
    except StagingError as error:
        raise GatewayError(_STATUS.get(error.trouble, 403), error.trouble.value, error.what) from error
    except RefusedError as error:
        raise GatewayError(403, Trouble.DENIED.value, error.what) from error
    hub.audit.write(
        "staging", centre=caller.centre, pilot=caller.sub, campaign=place[0], row=place[1], attempt=place[2],
        outputs=wanted.outputs is not None, files=len(given.files),
        exp=given.keys.expires if given.keys else None,
    )  # fmt: skip
    response.headers["Cache-Control"] = "no-store"
    return given


@router.get(DISCOVERY_PATH, dependencies=[_ANYBODY], include_in_schema=False)
def get_discovery(hub: Hub) -> dict[str, Any]:
    """The hub as an issuer for its store."""
    return WebIdentity(hub.settings).discovery()


@router.get(JWKS_PATH, dependencies=[_ANYBODY], include_in_schema=False)
def get_jwks(hub: Hub) -> dict[str, Any]:
    """Its public key."""
    return WebIdentity(hub.settings).jwks()

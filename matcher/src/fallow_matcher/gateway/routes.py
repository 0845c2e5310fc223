"""The routes of `/v1`. Each has one `Access`; what is decided is decided in the modules that they call."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Form, Request, Response
from fastapi.responses import JSONResponse
from pydantic import StringConstraints

from fallow.messages import (
    ACCESS_TOKEN_TYPE,
    JWT_TOKEN_TYPE,
    TOKEN_EXCHANGE_GRANT,
    Federation,
    HubPlace,
    Issuer,
    StorageAccess,
    TokenResponse,
)
from fallow.offers import Message
from fallow_matcher.gateway.access import (
    Access,
    Anybody,
    Caller,
    User,
    UserWho,
)
from fallow_matcher.gateway.errors import REFUSALS, GatewayError
from fallow_matcher.gateway.exchange import exchange
from fallow_matcher.gateway.hub import Hub
from fallow_matcher.gateway.s3 import SHORTEST_S
from fallow_matcher.htcondor import keys
from fallow_matcher.settings import HubSettings, queue_name

router = APIRouter(responses=REFUSALS)

KEYS_PATH = "/v1/keys"

_ANYBODY = Depends(Access(Anybody()))
_SUBMITTER = Access(UserWho("submit"))


class Health(Message):
    """Body of `GET /healthz`."""

    status: str = "ok"


class KeyIds(Message):
    """Body of `GET /v1/keys`."""

    ids: list[str]
    """As they stand in the headers of tokens; sorted. Two hubs of a federation have the same."""


class StorageRequest(Message):
    """Body of `POST /v1/storage`; may be left out."""

    prefix: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9_][A-Za-z0-9._=-]{0,127}/){0,16}$")] = ""
    """Folder below the user's own that the access is narrowed to, ending in a slash."""


@router.get("/healthz", dependencies=[_ANYBODY])
def healthz() -> Health:
    """Whether the gateway serves."""
    return Health()


@router.get("/openapi.json", dependencies=[_ANYBODY], include_in_schema=False)
def openapi(request: Request) -> JSONResponse:
    """The description of this interface."""
    return JSONResponse(request.app.openapi())


@router.get("/v1/federation", dependencies=[_ANYBODY])
def federation(hub: Hub) -> Federation:
    """What this federation is: all that a client must know beyond this URL."""
    settings = hub.settings
    return Federation(
        name=settings.name,
        trust_domain=settings.trust_domain,
        collector=settings.collector_address,
        schedd=settings.schedd_name,
        queue=f"{settings.host}:{settings.ports.queue}",
        s3_endpoint=settings.storage.endpoint,
        issuers=[
            Issuer(issuer=issuer.url, client_id=issuer.client_id, audience=settings.audiences[0])
            for issuer in settings.issuers
        ],
        centres=settings.centre_names,
        hubs=[_place(settings, host) for host in settings.hosts] if settings.pair else [],
    )


@router.get(KEYS_PATH, dependencies=[_ANYBODY])
def key_ids(hub: Hub) -> KeyIds:
    """The ids of the keys whose HTCondor tokens this hub takes."""
    return KeyIds(ids=keys.ids(hub.settings))


def _place(settings: HubSettings, host: str) -> HubPlace:
    """Where one of the two hubs is."""
    return HubPlace(
        url=settings.page_url_of(host),
        collector=f"{host}:{settings.ports.collector}",
        schedd=queue_name(host),
        queue=f"{host}:{settings.ports.queue}",
    )


@router.post("/v1/token", dependencies=[_ANYBODY])
def token(
    hub: Hub,
    response: Response,
    grant_type: Annotated[str, Form(max_length=200)],
    subject_token: Annotated[str, Form()],
    subject_token_type: Annotated[str, Form(max_length=200)],
    requested_token_type: Annotated[str | None, Form(max_length=200)] = None,
    scope: Annotated[str | None, Form(max_length=1000)] = None,
) -> TokenResponse:
    """Exchange a WLCG token for an HTCondor one (RFC 8693): never wider, never longer."""
    if grant_type != TOKEN_EXCHANGE_GRANT:
        raise GatewayError(400, "unsupported_grant_type", f"grant_type must be {TOKEN_EXCHANGE_GRANT}.")
    if subject_token_type not in (ACCESS_TOKEN_TYPE, JWT_TOKEN_TYPE):
        raise GatewayError(400, "invalid_request", f"subject_token_type must be {ACCESS_TOKEN_TYPE}.")
    if requested_token_type not in (None, JWT_TOKEN_TYPE):
        raise GatewayError(400, "invalid_request", f"requested_token_type must be {JWT_TOKEN_TYPE}.")
    caller = hub.callers.member(subject_token)
    hub.limits.count_caller(caller.iss, caller.sub)
    now = time.time()
    minted = exchange(caller, scope, settings=hub.settings, mint=hub.mint, now=now)
    hub.audit.write(
        "htcondor_token",
        **_who(caller),
        identity=minted.identity,
        scope=minted.scope,
        issued_jti=minted.jti,
        exp=minted.expires,
    )
    response.headers["Cache-Control"] = "no-store"
    return TokenResponse(
        access_token=minted.token, expires_in=max(0, int(minted.expires - now)), scope=minted.scope
    )


@router.post("/v1/storage")
def storage(
    hub: Hub,
    response: Response,
    caller: Annotated[User, Depends(_SUBMITTER)],
    wanted: Annotated[StorageRequest | None, Body()] = None,
) -> StorageAccess:
    """Short-lived S3 access to the caller's own prefix."""
    left_s = int(caller.claims.exp - time.time())
    life_s = max(SHORTEST_S, min(hub.settings.lives.storage_s, left_s))
    access = hub.store.access(f"{caller.centre}.{caller.name}", (wanted or StorageRequest()).prefix, life_s)
    hub.audit.write("storage", **_who(caller), prefix=access.prefix, exp=access.expires)
    response.headers["Cache-Control"] = "no-store"
    return access


def _who(caller: Caller) -> dict[str, object]:
    return {"iss": caller.iss, "sub": caller.sub, "jti": caller.jti, "centre": caller.centre}

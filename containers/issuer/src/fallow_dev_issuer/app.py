"""The issuer over HTTP: metadata, JWKS, device flow (RFC 8628), code flow, refresh, revocation (RFC 7009)."""

import html
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from fallow_dev_issuer import BANNER
from fallow_dev_issuer.codeflow import CodeFlow
from fallow_dev_issuer.errors import IssuerError, OAuthError
from fallow_dev_issuer.grants import Grant, GrantStore
from fallow_dev_issuer.keys import ALGORITHMS, KeyRing
from fallow_dev_issuer.people import People
from fallow_dev_issuer.state import State
from fallow_dev_issuer.tokens import access_claims, identity_claims
from fallow_dev_issuer.web import form_of, known_user, page

logger = logging.getLogger(__name__)

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True)
class Lives:
    """How long what the issuer gives out is good for, in seconds."""

    access_s: int = 3600
    refresh_s: int = 30 * 24 * 3600
    device_s: int = 600
    interval_s: int = 5


def metadata(state: State) -> dict[str, object]:
    """The document of OpenID Connect discovery and of RFC 8414."""
    base = state.base_url
    return {
        "issuer": state.issuer,
        "jwks_uri": f"{base}/jwks",
        "authorization_endpoint": f"{base}/authorize",
        "token_endpoint": f"{base}/token",
        "device_authorization_endpoint": f"{base}/device_authorization",
        "revocation_endpoint": f"{base}/revoke",
        "grant_types_supported": [DEVICE_GRANT, "authorization_code", "refresh_token"],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": list(ALGORITHMS),
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "scopes_supported": ["openid", "offline_access", "wlcg", "wlcg.groups"],
        "service_documentation": BANNER,
        "development_only": True,
    }


class Issuer:
    """The request handlers. Keys and people are read for every request, so edits take effect at once."""

    def __init__(self, state: State, lives: Lives, clock: Callable[[], float] = time.time) -> None:
        self._state = state
        self._lives = lives
        self._now = clock
        self._grants = GrantStore(state.grants)
        self.code_flow = CodeFlow(state, self._grants, clock)

    async def metadata(self, _request: Request) -> Response:
        """`GET /.well-known/openid-configuration` and `/.well-known/oauth-authorization-server`."""
        return JSONResponse(metadata(self._state))

    async def jwks(self, _request: Request) -> Response:
        """`GET /jwks`."""
        return JSONResponse(KeyRing.load(self._state.keys).jwks(self._now()))

    async def start_device(self, request: Request) -> Response:
        """`POST /device_authorization`."""
        form = await form_of(request)
        client_id = self._client(form)
        audience = form.get("audience", form.get("resource", "")).split()
        started = self._grants.start_device(
            client_id,
            form.get("scope", "").split(),
            audience,
            now=self._now(),
            life_s=self._lives.device_s,
            interval_s=self._lives.interval_s,
        )
        page = f"{self._state.base_url}/device"
        return _private(
            {
                "device_code": started.device_code,
                "user_code": started.user_code,
                "verification_uri": page,
                "verification_uri_complete": f"{page}?user_code={started.user_code}",
                "expires_in": self._lives.device_s,
                "interval": self._lives.interval_s,
            }
        )

    async def token(self, request: Request) -> Response:
        """`POST /token`."""
        form = await form_of(request)
        client_id = self._client(form)
        kind = form.get("grant_type")
        if kind == DEVICE_GRANT:
            grant = self._grants.redeem_device(form.get("device_code", ""), client_id, now=self._now())
            return _private(self._tokens(grant, grant.scopes, family=""))
        if kind == "authorization_code":
            grant = self._grants.redeem_code(
                form.get("code", ""),
                client_id,
                redirect=form.get("redirect_uri", ""),
                verifier=form.get("code_verifier", ""),
                now=self._now(),
            )
            return _private(self._tokens(grant, grant.scopes, family=""))
        if kind == "refresh_token":
            grant, family = self._grants.redeem_refresh(
                form.get("refresh_token", ""), client_id, now=self._now()
            )
            scopes = form["scope"].split() if form.get("scope") else grant.scopes
            if not set(scopes) <= set(grant.scopes):
                raise OAuthError("invalid_scope", "A refresh cannot widen what the user has allowed.")
            return _private(self._tokens(grant, scopes, family=family))
        raise OAuthError(
            "unsupported_grant_type", "Only the device flow, the code flow and refresh tokens are offered."
        )

    async def revoke(self, request: Request) -> Response:
        """`POST /revoke`; access tokens are not kept here, so only refresh tokens can be revoked."""
        form = await form_of(request)
        client_id = self._client(form)
        self._grants.revoke(form.get("token", ""), client_id)
        return _private({})

    async def approval_page(self, request: Request) -> Response:
        """`GET /device`: asks who the user is."""
        return HTMLResponse(page(_FORM.format(code=html.escape(request.query_params.get("user_code", "")))))

    async def approve(self, request: Request) -> Response:
        """`POST /device`: the user's decision, with the password of the people file."""
        form = await form_of(request)
        name = known_user(People.load(self._state.people), form)
        if name is None:
            return HTMLResponse(page("Unknown user or wrong password."), status_code=403)
        try:
            approved = form.get("decision") == "approve"
            self._grants.decide(form.get("user_code", ""), name, approve=approved, now=self._now())
        except IssuerError as error:
            return HTMLResponse(page(html.escape(str(error))), status_code=400)
        return HTMLResponse(page("Approved: go back to your terminal." if approved else "Refused."))

    async def health(self, _request: Request) -> Response:
        """`GET /healthz`."""
        return JSONResponse({"status": "ok"})

    def _client(self, form: dict[str, str]) -> str:
        client_id = form.get("client_id", "")
        if client_id not in People.load(self._state.people).clients:
            raise OAuthError("invalid_client", "This client is not registered.", status=401)
        return client_id

    def _tokens(self, grant: Grant, scopes: list[str], *, family: str) -> dict[str, object]:
        now = self._now()
        person = People.load(self._state.people).users.get(grant.user)
        if person is None:
            raise OAuthError("invalid_grant", "The user is no longer known.")
        scopes = person.granted(scopes)
        if not scopes:
            raise OAuthError("invalid_scope", "The user may have none of the scopes asked for.")
        ring = KeyRing.load(self._state.keys)
        claims = access_claims(
            self._state.issuer,
            person,
            client_id=grant.client_id,
            audience=grant.audience,
            scopes=scopes,
            now=now,
            life_s=self._lives.access_s,
        )
        answer: dict[str, object] = {
            "access_token": ring.sign(claims),
            "token_type": "Bearer",
            "expires_in": self._lives.access_s,
            "scope": " ".join(scopes),
        }
        if "openid" in scopes:
            identity = identity_claims(
                self._state.issuer,
                person,
                client_id=grant.client_id,
                now=now,
                life_s=self._lives.access_s,
                nonce=grant.nonce,
            )
            answer["id_token"] = ring.sign(identity, typ="JWT")
        if "offline_access" in scopes:
            answer["refresh_token"] = self._grants.new_refresh_token(
                grant, now=now, life_s=self._lives.refresh_s, family=family
            )
        logger.info("token issued: sub=%s client=%s jti=%s", person.sub, grant.client_id, claims["jti"])
        return answer


def _private(body: dict[str, object]) -> Response:
    return JSONResponse(body, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


_FORM = """<form method="post"><p><label>Code <input name="user_code" value="{code}"></label></p>
<p><label>User <input name="user" autocomplete="username"></label></p>
<p><label>Password <input name="password" type="password"></label></p>
<button name="decision" value="approve">Approve</button>
<button name="decision" value="deny">Refuse</button></form>"""


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, OAuthError):
        raise error
    return JSONResponse(
        {"error": error.code, "error_description": error.description},
        status_code=error.status,
        headers={"Cache-Control": "no-store"},
    )


async def _broken(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed: %s", request.method, request.url.path, error)
    return JSONResponse(
        {"error": "server_error", "error_description": "The issuer's own state is at fault; see its log."},
        status_code=500,
    )


def build_app(state: State, lives: Lives, clock: Callable[[], float] = time.time) -> Starlette:
    """The ASGI application.

    Args:
        state: An initialised state directory.
        lives: How long codes and tokens last.
        clock: Gives unix seconds.
    """
    issuer = Issuer(state, lives, clock)
    post: list[tuple[str, Callable[[Request], Awaitable[Response]]]] = [
        ("/device_authorization", issuer.start_device),
        ("/token", issuer.token),
        ("/revoke", issuer.revoke),
        ("/device", issuer.approve),
        ("/authorize", issuer.code_flow.decide),
    ]
    get: list[tuple[str, Callable[[Request], Awaitable[Response]]]] = [
        ("/.well-known/openid-configuration", issuer.metadata),
        ("/.well-known/oauth-authorization-server", issuer.metadata),
        ("/jwks", issuer.jwks),
        ("/device", issuer.approval_page),
        ("/authorize", issuer.code_flow.page),
        ("/healthz", issuer.health),
    ]
    routes = [Route(path, handler, methods=["POST"]) for path, handler in post]
    routes += [Route(path, handler, methods=["GET"]) for path, handler in get]
    return Starlette(routes=routes, exception_handlers={OAuthError: _refused, IssuerError: _broken})

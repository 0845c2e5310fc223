"""The authorisation code flow (RFC 6749 section 4.1) with PKCE (RFC 7636), for public clients in a browser."""

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from fallow_dev_issuer.errors import OAuthError
from fallow_dev_issuer.grants import Grant, GrantStore
from fallow_dev_issuer.people import People
from fallow_dev_issuer.state import State
from fallow_dev_issuer.web import form_of, known_user, page

CODE_S = 60
"""How long a code is good for, in seconds."""

_ASKED = (
    "response_type", "client_id", "redirect_uri", "scope", "audience", "state", "nonce", "code_challenge",
    "code_challenge_method",
)  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """What a client asks for, found to be in order."""

    fields: Mapping[str, str]

    def back(self, **answer: str) -> Response:
        """Lead the browser back to the client with an answer."""
        query = urlencode({**answer, "state": self.fields["state"]})
        return RedirectResponse(f"{self.fields['redirect_uri']}?{query}", status_code=303)


class CodeFlow:
    """The page on which a user lets a client in.

    Args:
        state: The issuer's state.
        grants: Where codes are kept.
        clock: Gives unix seconds.
    """

    def __init__(self, state: State, grants: GrantStore, clock: Callable[[], float]) -> None:
        self._state = state
        self._grants = grants
        self._now = clock

    async def page(self, request: Request) -> Response:
        """`GET /authorize`: asks who the user is."""
        wanted = self._wanted(request.query_params)
        hidden = "".join(
            f'<input type="hidden" name="{name}" value="{html.escape(value)}">'
            for name, value in wanted.fields.items()
        )
        return HTMLResponse(page(_FORM.format(client=html.escape(wanted.fields["client_id"]), hidden=hidden)))

    async def decide(self, request: Request) -> Response:
        """`POST /authorize`: the user's decision, with the password of the people file."""
        form = await form_of(request)
        wanted = self._wanted(form)
        name = known_user(People.load(self._state.people), form)
        if name is None:
            return HTMLResponse(page("Unknown user or wrong password."), status_code=403)
        if form.get("decision") != "approve":
            return wanted.back(error="access_denied", iss=self._state.issuer)
        asked = wanted.fields
        grant = Grant(
            asked["client_id"], name, asked["scope"].split(), asked["audience"].split(), asked["nonce"]
        )
        code = self._grants.new_code(
            grant,
            redirect=asked["redirect_uri"],
            challenge=asked["code_challenge"],
            now=self._now(),
            life_s=CODE_S,
        )
        return wanted.back(code=code, iss=self._state.issuer)

    def _wanted(self, fields: Mapping[str, str]) -> Wanted:
        """The request, checked; nothing is ever sent to a place that is not registered.

        Raises:
            OAuthError: Client, redirect or PKCE is not as it must be.
        """
        asked = {name: fields.get(name, "") for name in _ASKED}
        people = People.load(self._state.people)
        if asked["client_id"] not in people.clients or asked["redirect_uri"] not in people.redirects:
            raise OAuthError("invalid_request", "This client or its redirect_uri is not registered.")
        if asked["response_type"] != "code":
            raise OAuthError("unsupported_response_type", "response_type must be code.")
        challenge = re.fullmatch(r"[A-Za-z0-9_-]{43}", asked["code_challenge"])
        if asked["code_challenge_method"] != "S256" or not challenge:
            raise OAuthError("invalid_request", "A public client needs PKCE with code_challenge_method S256.")
        return Wanted(asked)


_FORM = """<h1>Log in</h1><form method="post" action="/authorize"><p>For the client <b>{client}</b>.</p>{hidden}
<p><label>User <input name="user" autocomplete="username"></label></p>
<p><label>Password <input name="password" type="password"></label></p>
<button name="decision" value="approve">Log in</button>
<button name="decision" value="deny">Refuse</button></form>"""

"""Logins that are under way: which browser was sent to which issuer with what."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from fallow.errors import RefusedError
from fallow.login import browser
from fallow.login.browser import Attempt
from fallow.login.oidc import Provider, discover
from fallow.web import Web
from fallow_matcher.board.sessions import hash_of
from fallow_matcher.settings import HubSettings, IssuerSettings

SCOPES = "openid wlcg wlcg.groups compute.read compute.create compute.modify compute.cancel"
"""What the page asks for: what `fallow login` does, but nothing that outlives the session."""
LIFE_S = 600
"""How long a login may take."""
MOST = 1_000
"""Logins that may be under way; the oldest gives way."""
BACK = "/login/callback"


@dataclass(frozen=True)
class Pending:
    """One login that is under way."""

    issuer: IssuerSettings
    attempt: Attempt
    ends: float


class SignIn:
    """Sends browsers to issuers, and takes them back.

    Args:
        settings: The hub's settings.
        clock: Unix time.
    """

    def __init__(self, settings: HubSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: dict[str, Pending] = {}
        self._back = f"{settings.page_url}{BACK}"

    @property
    def issuers(self) -> list[IssuerSettings]:
        """The issuers at which people can log in."""
        return [issuer for issuer in self._settings.issuers if issuer.client_id]

    def begin(self, issuer: IssuerSettings) -> tuple[str, str]:
        """Where to send the browser, and the secret that it must bring back.

        Raises:
            NotAvailableError: The issuer does not answer, or offers no such login.
        """
        attempt = Attempt()
        url = browser.address(
            discover(Web(issuer.ca_file), issuer.url),
            attempt,
            client_id=issuer.client_id,
            redirect_uri=self._back,
            scope=SCOPES,
            audience=self._settings.audiences[0],
        )
        secret, now = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            while len(self._pending) >= MOST:
                del self._pending[next(iter(self._pending))]
            self._pending[hash_of(secret)] = Pending(issuer, attempt, now + LIFE_S)
        return url, secret

    def end(self, secret: str, *, code: str, state: str, said_issuer: str | None) -> str:
        """The access token of a login that came back; an attempt ends with its first answer, good or bad.

        Raises:
            RefusedError: There is no such attempt, or the answer is not to it.
            NotAvailableError: The issuer does not answer.
        """
        with self._lock:
            pending = self._pending.pop(hash_of(secret), None)
        if pending is None or pending.ends <= self._clock():
            raise RefusedError(
                "This login was not begun in this browser, or took too long.", remedy="Log in again."
            )
        issuer = pending.issuer
        web = Web(issuer.ca_file)
        tokens = browser.redeem(
            Provider(web, discover(web, issuer.url), issuer.client_id),
            pending.attempt,
            issuer=issuer.url,
            client_id=issuer.client_id,
            redirect_uri=self._back,
            code=code,
            state=state,
            said_issuer=said_issuer,
        )
        return tokens.access_token

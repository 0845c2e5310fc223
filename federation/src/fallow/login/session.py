"""Logging in and out at an issuer."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable

from fallow.errors import FallowError, NotAvailableError
from fallow.login.device import wait_for_approval
from fallow.login.oidc import DeviceAuthorization, Provider, Tokens, discover
from fallow.login.peek import expiry, peek
from fallow.login.store import Session, SessionStore
from fallow.web import Web, for_people


def log_in(
    issuer: str,
    client_id: str,
    audience: str,
    scope: str,
    *,
    ca_file: Path | None,
    show: Callable[[DeviceAuthorization], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Session:
    """Log the user in by the device flow and store the login.

    Args:
        issuer: The issuer's URL, exactly as its tokens carry it.
        client_id: A public client registered there.
        audience: The service that the token is for.
        scope: Space-separated scopes.
        ca_file: Certificate authorities to trust beside the system's.
        show: Tells the user where to go and which code to enter.
        sleep: Waits the given seconds between polls.

    Raises:
        RefusedError: The user refused or was too late.
        NotAvailableError: The issuer does not answer, or offers no device flow.
    """
    web = Web(ca_file, system_too=True)
    provider = Provider(web, discover(web, issuer), client_id)
    started = provider.start_device(scope, audience)
    show(started)
    tokens = wait_for_approval(provider, started, sleep=sleep)
    session = Session(
        issuer=issuer,
        client_id=client_id,
        audience=audience,
        scope=tokens.scope or scope,
        name=_name(tokens),
        access_token=tokens.access_token,
        expires=expires_of(tokens, datetime.now(timezone.utc)),
        refresh_token=tokens.refresh_token,
        ca_file=ca_file.absolute() if ca_file else None,
    )
    store = SessionStore.of_user()
    with store.lock():
        store.save(session)
    return session


def log_out() -> bool:
    """Forget the stored login, and revoke it where its issuer offers that.

    Returns:
        Whether there was a login.

    Raises:
        FallowError: It is forgotten here, but the issuer could not be told.
    """
    store = SessionStore.of_user()
    with store.lock():
        session = store.load()
        store.delete()
    if session is None:
        return False
    if session.refresh_token:
        try:
            web = Web(session.ca_file, system_too=True)
            Provider(web, discover(web, session.issuer), session.client_id).revoke(session.refresh_token)
        except FallowError as error:
            raise NotAvailableError(
                f"You are logged out here, but the issuer could not be told: {error.what}",
                remedy="What it gave out stays valid there until it expires.",
            ) from error
    return True


def expires_of(tokens: Tokens, asked: datetime) -> datetime:
    """When the access token expires: what the issuer says, else what the token says."""
    if tokens.expires_in is not None:
        return asked + timedelta(seconds=max(0, min(tokens.expires_in, 10**9)))
    moment = expiry(peek(tokens.access_token)[1])
    if moment is None:
        raise NotAvailableError("The issuer's token does not say when it expires, so it cannot be used.")
    return moment


def _name(tokens: Tokens) -> str:
    """What the issuer calls the user: only displayed, and the ID token came from the issuer itself."""
    if not tokens.id_token:
        return ""
    claims = peek(tokens.id_token)[1]
    name = claims.get("name") or claims.get("preferred_username")
    return for_people(name, 100) if isinstance(name, str) else ""

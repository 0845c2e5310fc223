"""Where the user's token comes from: the WLCG discovery, or the stored login, renewed before it expires."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable

from fallow.errors import FallowError, NotAvailableError, RefusedError
from fallow.login.device import wait_for_approval
from fallow.login.oidc import DeviceAuthorization, OAuthRefusedError, Provider, Tokens, discover
from fallow.login.peek import expiry, peek
from fallow.login.store import Session, SessionStore
from fallow.web import Web, for_people

logger = logging.getLogger(__name__)

NEAR_EXPIRY_S = 300.0
"""A stored token with less left than this is renewed before it is used."""


@dataclass(frozen=True)
class Found:
    """The token in use and where it was found.

    `session` is set only for the stored login.
    """

    token: str = field(repr=False)
    source: str
    file: Path | None
    session: Session | None = None


def access_token(*, min_life_s: float = NEAR_EXPIRY_S) -> str:
    """The user's WLCG access token, good for about `min_life_s` more seconds where it can be renewed.

    Raises:
        NotAvailableError: There is none, or it has expired and its issuer does not answer.
        RefusedError: It has expired and its issuer gives no other.
    """
    return current(min_life_s=min_life_s).token


def current(*, min_life_s: float = NEAR_EXPIRY_S) -> Found:
    """The token that every command uses, and where it is from; raises as `access_token` does."""
    from fallow.tokens.discovery import discover_token

    store = SessionStore.of_user()
    discovered = discover_token()
    if discovered is not None and discovered.file != store.token_file:
        return Found(discovered.token, discovered.source, discovered.file)
    session = store.load()
    if session is None:
        raise NotAvailableError(
            "There is no WLCG token for you here.",
            remedy="Run `fallow login`, or name a token file in BEARER_TOKEN_FILE.",
        )
    session = renewed(store, session, min_life_s=min_life_s)
    return Found(session.access_token, "the stored login", store.token_file, session)


def renewed(store: SessionStore, session: Session, *, min_life_s: float) -> Session:
    """`session`, or its successor if it is near its end; one process renews, the others take what it stored.

    A failure to renew is an error only once the token has expired.
    """
    if session.left_s(_now()) >= min_life_s:
        return session
    with store.lock():
        session = store.load() or session
        if session.left_s(_now()) >= min_life_s:
            return session
        try:
            session = _refreshed(session)
        except FallowError as error:
            if session.left_s(_now()) <= 0:
                raise
            logger.warning("the login could not be renewed yet: %s", error)
            return session
        store.save(session)
        return session


def _refreshed(session: Session) -> Session:
    if not session.refresh_token:
        raise RefusedError("The login has ended and cannot be renewed.", remedy="Run `fallow login`.")
    web = Web(session.ca_file, system_too=True)
    provider = Provider(web, discover(web, session.issuer), session.client_id)
    asked = _now()
    try:
        tokens = provider.refresh(session.refresh_token)
    except OAuthRefusedError as error:
        raise RefusedError(
            f"The login has ended: {error.what.rstrip('.')}.", remedy="Run `fallow login`."
        ) from error
    return session.model_copy(
        update={
            "access_token": tokens.access_token,
            "expires": _expires(tokens, asked),
            "refresh_token": tokens.refresh_token or session.refresh_token,
        }
    )


def log_in(
    issuer: str,
    client_id: str,
    audience: str,
    scope: str,
    *,
    ca_file: Path | None,
    show: Callable[[DeviceAuthorization], None],
) -> Session:
    """Log the user in by the device flow and store the login.

    Args:
        issuer: The issuer's URL, exactly as its tokens carry it.
        client_id: A public client registered there.
        audience: The service that the token is for.
        scope: Space-separated scopes.
        ca_file: Certificate authorities to trust beside the system's.
        show: Tells the user where to go and which code to enter.

    Raises:
        RefusedError: The user refused or was too late.
        NotAvailableError: The issuer does not answer, or offers no device flow.
    """
    web = Web(ca_file, system_too=True)
    provider = Provider(web, discover(web, issuer), client_id)
    started = provider.start_device(scope, audience)
    show(started)
    tokens = wait_for_approval(provider, started)
    session = Session(
        issuer=issuer,
        client_id=client_id,
        audience=audience,
        scope=tokens.scope or scope,
        name=_name(tokens),
        access_token=tokens.access_token,
        expires=_expires(tokens, _now()),
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


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _expires(tokens: Tokens, asked: datetime) -> datetime:
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

"""Where the user's token comes from: the WLCG discovery, or the stored login, renewed before it expires."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from fallow.errors import FallowError, NotAvailableError, RefusedError
from fallow.login.oidc import OAuthRefusedError, Provider, discover
from fallow.login.session import expires_of
from fallow.login.store import Session, SessionStore
from fallow.web import Web

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
    # A program that was given the login's own file still gets it renewed.
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
            "expires": expires_of(tokens, asked),
            "refresh_token": tokens.refresh_token or session.refresh_token,
        }
    )


def _now() -> datetime:
    return datetime.now(timezone.utc)

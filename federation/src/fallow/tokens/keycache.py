"""The keys of trusted issuers, kept and refreshed as the profile advises.

Keys are fetched again after 6 hours and used for at most 2 days when the issuer does not answer. Where there are none
that could be used, it is asked again soon. A `kid` that is not there causes one fetch; further unknown ones cause none
for a while, whatever their number.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fallow.errors import NotAvailableError
from fallow.tokens.errors import TokenError
from fallow.tokens.fetch import Fetch, fetch_json
from fallow.tokens.issuers import TrustedIssuer
from fallow.tokens.keys import parse_jwks
from fallow.tokens.metadata import find_jwks_uri
from fallow.tokens.store import KeyStore, Stored

if TYPE_CHECKING:
    from jwt import PyJWK

logger = logging.getLogger(__name__)

REFRESH_S = 6 * 3600
KEEP_S = 2 * 24 * 3600
RETRY_S = 300
"""The least time between two fetches that failed, or that unknown key ids caused."""
NONE_RETRY_S = 10
"""The least time between two that failed while there are no keys: nobody of the issuer can do anything until then."""


@dataclass(frozen=True)
class _KeySet:
    by_kid: dict[str, list[PyJWK]]
    fetched_at: float
    jwks_uri: str = ""
    """Where they were; empty when they come from the disk, which does not say where to go."""

    def age_s(self, now: float) -> float:
        """Seconds since the fetch; a clock that was set back makes keys old, not young."""
        return now - self.fetched_at if now > self.fetched_at - RETRY_S else float(KEEP_S)


@dataclass
class _Entry:
    keyset: _KeySet | None = None
    tried_at: float = float("-inf")
    unknown_at: float = float("-inf")
    fetching: threading.Lock = field(default_factory=threading.Lock)


class KeyCache:
    """Answers which keys of an issuer have a `kid`; thread-safe, with one fetch at a time per issuer.

    Args:
        store: Where keys survive a restart; None keeps them in memory only.
        fetch: How a document is got from an issuer.
    """

    def __init__(self, store: KeyStore | None = None, fetch: Fetch = fetch_json) -> None:
        self._store = store
        self._fetch = fetch
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    def keys(self, issuer: TrustedIssuer, kid: str, now: float) -> list[PyJWK]:
        """The issuer's keys with this id, never empty.

        Args:
            issuer: A trusted issuer: its servers may be asked.
            kid: From a token that nobody has verified.
            now: Unix time in seconds.

        Raises:
            TokenError: `unknown_key`: the issuer has none, or its keys cannot be had (then `retryable`).
        """
        entry = self._entry(issuer)
        found = _lookup(entry, kid, now)
        if found and entry.keyset is not None and entry.keyset.age_s(now) < REFRESH_S:
            return found
        # whoever has a usable key does not wait for another thread's fetch
        if _may_fetch(entry, kid, now) and entry.fetching.acquire(blocking=not found):
            try:
                if _may_fetch(entry, kid, now):
                    self._refresh(issuer, entry, kid, now)
            finally:
                entry.fetching.release()
        found = _lookup(entry, kid, now)
        if found:
            return found
        if _usable(entry, now):
            raise TokenError(
                "unknown_key", "The token names a key that its issuer does not have.", iss=issuer.url
            )
        what = "The keys of the token's issuer cannot be had now."
        raise TokenError("unknown_key", what, remedy="Try again later.", retryable=True, iss=issuer.url)

    def _entry(self, issuer: TrustedIssuer) -> _Entry:
        with self._lock:
            entry = self._entries.get(issuer.url)
            if entry is None:
                entry = self._entries[issuer.url] = _Entry(self._load(issuer))
            return entry

    def _load(self, issuer: TrustedIssuer) -> _KeySet | None:
        stored = self._store.load(issuer.url) if self._store else None
        if stored is None:
            return None
        try:
            return _KeySet(parse_jwks(stored.jwks), stored.fetched_at)
        except ValueError as error:
            logger.warning("stored keys of %s are not used: %s", issuer.url, error)
            return None

    def _refresh(self, issuer: TrustedIssuer, entry: _Entry, kid: str, now: float) -> None:
        """Fetch the keys, or keep the old ones and say so."""
        usable = _usable(entry, now)
        try:
            # an unknown kid alone costs one request: where the keys are was asked less than 6 hours ago
            young = entry.keyset is not None and entry.keyset.age_s(now) < REFRESH_S
            known = entry.keyset.jwks_uri if entry.keyset and young else ""
            uri = known or find_jwks_uri(issuer, self._fetch)
            jwks = self._fetch(uri, issuer)
            by_kid = parse_jwks(jwks)
        except (NotAvailableError, ValueError) as error:
            logger.warning(
                "keys of %s were not refreshed%s: %s", issuer.url, "" if usable else ", none left", error
            )
        else:
            entry.keyset = _KeySet(by_kid, now, uri)
            logger.info("%d keys of %s fetched", len(by_kid), issuer.url)
            if self._store:
                self._store.save(issuer.url, Stored(now, jwks))
        # only now: until here other threads that find no key must wait for this fetch
        entry.tried_at = now
        if not _lookup(entry, kid, now):
            entry.unknown_at = now


def _usable(entry: _Entry, now: float) -> bool:
    return entry.keyset is not None and entry.keyset.age_s(now) < KEEP_S


def _lookup(entry: _Entry, kid: str, now: float) -> list[PyJWK]:
    keyset = entry.keyset
    return keyset.by_kid.get(kid, []) if keyset is not None and keyset.age_s(now) < KEEP_S else []


def _may_fetch(entry: _Entry, kid: str, now: float) -> bool:
    """Whether a fetch is due and not too soon after the last one of its kind."""
    keyset = entry.keyset
    if keyset is None or keyset.age_s(now) >= REFRESH_S:
        return abs(now - entry.tried_at) >= (RETRY_S if _usable(entry, now) else NONE_RETRY_S)
    return kid not in keyset.by_kid and abs(now - entry.unknown_at) >= RETRY_S

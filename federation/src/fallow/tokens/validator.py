"""Token in, claims out."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fallow.errors import SettingsError
from fallow.settings import load
from fallow.tokens.claims import Claims
from fallow.tokens.compact import Unverified, read
from fallow.tokens.errors import TokenError
from fallow.tokens.fetch import Fetch, fetch_json
from fallow.tokens.issuers import TrustedIssuer, TrustedIssuers
from fallow.tokens.keycache import KeyCache
from fallow.tokens.keys import verify
from fallow.tokens.profile import check_audience, check_time, read_claims
from fallow.tokens.store import KeyStore

if TYPE_CHECKING:
    from jwt import PyJWK

REMEMBERED = 4096
"""How many tokens are recognised without checking their signature again."""


class Validator:
    """Validates tokens of the trusted issuers; safe to share between threads.

    A token that was verified is recognised by its SHA-256 and not verified again while the key that signed
    it is still the issuer's; time, audience and revocation are checked every time.

    Args:
        settings: Who is trusted.
        revoked: Says of otherwise valid claims whether they were revoked (by `jti`, subject, centre …).
        fetch: How documents are got from an issuer.
    """

    def __init__(
        self,
        settings: TrustedIssuers,
        *,
        revoked: Callable[[Claims], bool] | None = None,
        fetch: Fetch = fetch_json,
    ) -> None:
        self._issuers = {issuer.url: issuer for issuer in settings.issuers}
        self._keys = KeyCache(KeyStore(settings.cache_dir) if settings.cache_dir else None, fetch)
        self._revoked = revoked
        self._seen: OrderedDict[bytes, tuple[Claims, str, PyJWK]] = OrderedDict()
        self._lock = threading.Lock()

    def validate(self, token: str | bytes, audience: str | Sequence[str], now: float) -> Claims:
        """Check a token whole: form, issuer, signature, profile, time, audience, revocation.

        Args:
            token: The compact token, as it came.
            audience: The name or names of this service; the token must be meant for one of them.
            now: Unix time in seconds.

        Raises:
            TokenError: It is refused; for any bytes whatever, no other exception.
            SettingsError: `audience` is empty.
        """
        names = (audience,) if isinstance(audience, str) else audience
        if not names or "" in names:
            raise SettingsError(
                "This service has no audience name.", remedy="Set at least one.", setting="audience"
            )
        claims = self._verified(token, now)
        check_time(claims, now)
        check_audience(claims, names)
        if self._revoked is not None and self._revoked(claims):
            raise TokenError("token_revoked", "The token was revoked.", iss=claims.iss, jti=claims.jti)
        return claims

    def _verified(self, token: str | bytes, now: float) -> Claims:
        digest = hashlib.sha256(
            token.encode("utf-8", "surrogatepass") if isinstance(token, str) else token
        ).digest()
        with self._lock:
            known = self._seen.get(digest)
        if known is not None:
            claims, kid, key = known
            if key in self._keys.keys(claims.issuer, kid, now):
                return claims
        unverified = read(token)
        issuer = self._issuer(unverified)
        kid = _kid(unverified, issuer)
        key = verify(unverified, self._keys.keys(issuer, kid, now))
        claims = read_claims(unverified.payload, issuer)
        with self._lock:
            self._seen[digest] = (claims, kid, key)
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)  # the oldest
        return claims

    def _issuer(self, unverified: Unverified) -> TrustedIssuer:
        url = unverified.payload.get("iss")
        issuer = self._issuers.get(url) if isinstance(url, str) else None
        if issuer is None:
            raise TokenError("untrusted_issuer", "The token is not from an issuer that is trusted here.")
        return issuer


def _kid(unverified: Unverified, issuer: TrustedIssuer) -> str:
    kid = unverified.header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise TokenError("unknown_key", "The token does not name the key that signed it.", iss=issuer.url)
    return kid


@functools.lru_cache(maxsize=8)
def _from_file(path: str) -> Validator:
    return Validator(load(TrustedIssuers, Path(path)))


def default_validator() -> Validator:
    """The validator of the settings file `$FALLOW_ISSUERS`, else `/etc/fallow/issuers.toml`; read once.

    Raises:
        SettingsError: The file is missing or wrong.
    """
    return _from_file(os.environ.get("FALLOW_ISSUERS") or "/etc/fallow/issuers.toml")


def validate(token: str | bytes, audience: str | Sequence[str], now: float) -> Claims:
    """`Validator.validate` with the default validator."""
    return default_validator().validate(token, audience, now)

"""The claims that the WLCG profile asks for, each with the code that its absence or misuse has."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from fallow.tokens import scopes
from fallow.tokens.claims import Claims
from fallow.tokens.errors import TokenError
from fallow.tokens.issuers import GROUP, TrustedIssuer

ANY_AUDIENCE = "https://wlcg.cern.ch/jwt/v1/any"
MAX_LIFETIME_S = 6 * 3600
LEEWAY_S = 60
"""How far a token's `nbf` and `iat` may be ahead of our clock. Its end has no grace."""
MAX_SUB = 255
MAX_JTI = 255

_VERSION = re.compile(r"1\.[0-9]+\Z")
_FAR = 2**53


def read_claims(payload: dict[str, Any], issuer: TrustedIssuer) -> Claims:
    """Read a verified payload: everything that does not depend on who asks and when.

    Raises:
        TokenError: A claim is missing or not as the profile says.
    """
    version = payload.get("wlcg.ver")
    if not isinstance(version, str) or not _VERSION.match(version):
        raise TokenError("unsupported_version", "The token's wlcg.ver is not 1.x.", iss=issuer.url)
    return Claims(
        issuer=issuer,
        sub=_text(payload, "sub", MAX_SUB),
        jti=_text(payload, "jti", MAX_JTI),
        aud=_audience(payload.get("aud")),
        exp=_moment(payload, "exp"),
        iat=_moment(payload, "iat"),
        nbf=_moment(payload, "nbf") if "nbf" in payload else None,
        version=version,
        scopes=_scopes(payload.get("scope", "")),
        groups=_groups(payload.get("wlcg.groups", [])),
    )


def check_time(claims: Claims, now: float) -> None:
    """Refuse a token that is not valid at `now`, or for too long.

    Raises:
        TokenError: `token_expired`, `token_not_yet_valid` or `lifetime_too_long`.
    """
    iss, jti = claims.iss, claims.jti
    if now >= claims.exp:
        raise TokenError("token_expired", "The token has expired.", remedy="Get a new one.", iss=iss, jti=jti)
    if claims.iat > now + LEEWAY_S or (claims.nbf is not None and claims.nbf > now + LEEWAY_S):
        raise TokenError(
            "token_not_yet_valid", "The token is not valid yet.", retryable=True, iss=iss, jti=jti
        )
    if claims.exp - claims.iat > MAX_LIFETIME_S:
        raise TokenError(
            "lifetime_too_long",
            f"The token lives longer than {MAX_LIFETIME_S // 3600} hours.",
            iss=iss,
            jti=jti,
        )


def check_audience(claims: Claims, names: Collection[str]) -> None:
    """Refuse a token that is meant for other services.

    Raises:
        TokenError: `invalid_audience`.
    """
    if not any(name == ANY_AUDIENCE or name in names for name in claims.aud):
        what = "The token is meant for another service."
        raise TokenError("invalid_audience", what, iss=claims.iss, jti=claims.jti)


def _text(payload: dict[str, Any], name: str, most: int) -> str:
    # printable ASCII: these go into logs and HTCondor identities
    value = payload.get(name)
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= most
        or not (value.isascii() and value.isprintable())
    ):
        raise TokenError(
            "invalid_token", f"The token's {name} is not printable ASCII of 1 to {most} characters."
        )
    return value


def _moment(payload: dict[str, Any], name: str) -> float:
    value = payload.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_FAR < value < _FAR:
        raise TokenError("invalid_token", f"The token's {name} is not a number of seconds.")
    return value


def _audience(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise TokenError("invalid_audience", "The token's aud is neither a name nor a list of names.")
    return tuple(names)


def _scopes(value: Any) -> scopes.Scopes:
    if not isinstance(value, str):
        raise TokenError("invalid_token", "The token's scope is not a string.")
    return scopes.parse(value)


def _groups(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and GROUP.match(name) for name in value):
        raise TokenError("invalid_token", "The token's wlcg.groups is not a list of group names.")
    return tuple(value)

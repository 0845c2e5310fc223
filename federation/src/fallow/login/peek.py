"""What a token says about itself, unverified: to show it and to time its renewal, never to decide."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from fallow.errors import FallowError


def peek(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims of a JWT, without its signature, and without checking anything.

    Raises:
        FallowError: It is no JWT.
    """
    import jwt  # holds 9 MB of libraries, and a launcher that looks at no token should not

    try:
        parts = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise FallowError(
            "The token is no JSON Web Token, so it cannot be shown.",
            remedy="Run `fallow login` for one that is.",
        ) from error
    return dict(parts["header"]), dict(parts["payload"])


def expiry(claims: dict[str, Any]) -> datetime | None:
    """When a token with these claims expires; None where `exp` is missing or no moment."""
    try:
        return datetime.fromtimestamp(float(claims["exp"]), timezone.utc)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None

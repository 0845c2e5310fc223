"""Token in, claims out."""

from __future__ import annotations

from typing import Callable
from collections.abc import Sequence

from fallow.tokens.claims import Claims
from fallow.tokens.issuers import TrustedIssuers


class Validator:
    """Validates tokens of the trusted issuers; safe to share between threads.

    Args:
        settings: Who is trusted.
        revoked: Says of otherwise valid claims whether they were revoked (by `jti`, subject, centre …).
    """

    def __init__(
        self, settings: TrustedIssuers, *, revoked: Callable[[Claims], bool] | None = None
    ) -> None:
        self.settings = settings

    def validate(self, token: str | bytes, audience: str | Sequence[str], now: float) -> Claims:
        """Check a token whole: form, issuer, signature, profile, time, audience.

        Args:
            token: The compact token, as it came.
            audience: The name or names of this service; the token must be meant for one of them.
            now: Unix time in seconds.

        Raises:
            TokenError: It is refused; for any bytes whatever, no other exception.
        """
        raise NotImplementedError


def default_validator() -> Validator:
    """The validator of the settings file `$FALLOW_ISSUERS`, else `/etc/fallow/issuers.toml`; read once per file."""
    raise NotImplementedError


def validate(token: str | bytes, audience: str | Sequence[str], now: float) -> Claims:
    """`Validator.validate` with the default validator."""
    return default_validator().validate(token, audience, now)

"""The one exception family of token checks: a code, the HTTP status that goes with it, and a sentence."""

from __future__ import annotations

from fallow.errors import RefusedError

STATUS = {
    "invalid_request": 400,
    "invalid_token": 401,
    "token_expired": 401,
    "token_not_yet_valid": 401,
    "invalid_audience": 401,
    "untrusted_issuer": 401,
    "unknown_key": 401,
    "unsupported_version": 401,
    "lifetime_too_long": 401,
    "token_revoked": 401,
    "replayed": 401,
    "insufficient_scope": 403,
    "forbidden": 403,
}
"""The HTTP status of each code."""


class TokenError(RefusedError):
    """A token, or a request made with one, is refused.

    Its text never holds any part of the token but `iss`, `jti` or a claim's name.

    Args:
        code: A key of `STATUS`.
        what: One sentence: what is wrong.
        remedy: What the bearer can do about it.
        retryable: Whether the same token may pass later, e.g. when its issuer answers again.
        iss: The issuer, once it is known to be a trusted one; for the log.
        jti: The token's id, once its signature is verified; for the log.
    """

    def __init__(
        self, code: str, what: str, *, remedy: str = "", retryable: bool = False, iss: str = "", jti: str = ""
    ) -> None:
        super().__init__(what, remedy=remedy, retryable=retryable)
        self.code = code
        self.status = STATUS[code]
        self.iss = iss
        self.jti = jti

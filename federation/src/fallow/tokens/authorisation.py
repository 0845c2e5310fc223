"""Whether a token allows an operation: a pure decision, with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from collections.abc import Mapping

from fallow.tokens.claims import Claims
from fallow.tokens.errors import TokenError
from fallow.tokens.operations import OPERATIONS

__all__ = ["OPERATIONS", "Decision", "authorise"]


@dataclass(frozen=True)
class Decision:
    """Whether an operation is allowed and why."""

    allowed: bool
    reason: str
    """One sentence without anything from the token but scope names and groups."""
    code: str = ""
    """Empty when allowed, else a key of `STATUS`."""
    iss: str = ""
    jti: str = ""

    def require(self) -> None:
        """Raise what a service answers when this is a refusal.

        Raises:
            TokenError: With this decision's code and reason.
        """
        if not self.allowed:
            raise TokenError(self.code, self.reason, iss=self.iss, jti=self.jti)


def authorise(
    claims: Claims,
    operation: str,
    path: str = "/",
    *,
    path_to: str | None = None,
    exists: Mapping[str, str] | None = None,
    seen_before: bool = False,
) -> Decision:
    """Decide whether `claims` allow `operation` on `path`.

    Args:
        claims: From `validate`.
        operation: One of `OPERATIONS`; any other is refused.
        path: Decoded and within the issuer's area, as `from_url` gives it; of no meaning to operations on jobs.
        path_to: The target of `rename` and `copy`.
        exists: What exists in the area, as far as the caller knows: path → `"file"` or `"dir"`. A file that is there makes
            `create_file` an overwrite, and a known directory matches a scope that ends in a slash.
        seen_before: Whether the token's `jti` was used before; matters to `exchange_once` only.

    Returns:
        The decision; no input makes this raise.
    """
    raise NotImplementedError

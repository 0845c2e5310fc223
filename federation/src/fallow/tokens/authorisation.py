"""Whether a token allows an operation: a pure decision, with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fallow.tokens.claims import Claims
from fallow.tokens.errors import TokenError
from fallow.tokens.operations import COMPUTE, EXCHANGE, OPERATIONS, STORAGE, TWO_PATHS
from fallow.tokens.paths import below, of_request
from fallow.tokens.scopes import StorageScope

_WRITERS = frozenset({"create", "modify"})
_REPLACERS = frozenset({"modify"})


@dataclass(frozen=True)
class Decision:
    """Whether an operation is allowed and why."""

    allowed: bool
    reason: str
    """One sentence; of the token it holds nothing but names of scopes."""
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


@dataclass(frozen=True)
class _Target:
    """A path that an operation touches: what is known of it, and the scopes of which one must cover it."""

    path: str
    kind: str
    """`file`, `dir`, or empty where nothing is known to exist."""
    directory: bool
    """Whether the request means a directory."""
    scopes: frozenset[str]
    leads: bool = False
    """Whether this may be made as a directory on the way to a scope's path."""

    def covered_by(self, scope: StorageScope) -> bool:
        if scope.name not in self.scopes:
            return False
        if self.path == scope.path:
            return self.directory or not scope.directory
        return below(self.path, scope.path) or (self.leads and below(scope.path, self.path))


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
        path: Decoded and within the issuer's area, as `from_url` gives it; operations on jobs ignore it.
        path_to: The target of `rename` and `copy`.
        exists: What is there, as far as the caller knows: normal path → `"file"` or `"dir"`. Where something
            is, `create_file` means to replace it; a known directory matches a scope that ends in a slash.
        seen_before: Whether the token's `jti` was used before; matters to `exchange_once` only.

    Returns:
        The decision; no input makes this raise.
    """
    try:
        reason = _allow(claims, operation, path, path_to, exists or {}, seen_before)
    except TokenError as refusal:
        return Decision(False, refusal.what, refusal.code, claims.iss, claims.jti)
    return Decision(True, reason, "", claims.iss, claims.jti)


def _allow(
    claims: Claims,
    operation: str,
    path: str,
    path_to: str | None,
    exists: Mapping[str, str],
    seen_before: bool,
) -> str:
    """Why the operation is allowed.

    Raises:
        TokenError: It is not.
    """
    if operation not in OPERATIONS:
        raise TokenError("insufficient_scope", "No scope is known to allow this operation.")
    if operation == EXCHANGE:
        if seen_before:
            raise TokenError("replayed", "This token was good for one use and has been used.")
        return "First use of the token."
    targets = [] if operation in COMPUTE else _targets(operation, path, path_to, exists)
    if not claims.scopes.capabilities:
        replaces = operation == "create_file" and targets[0].kind
        return _allow_by_groups(claims, "overwrite" if replaces else operation)
    if operation in COMPUTE:
        if COMPUTE[operation] not in claims.scopes.compute:
            raise TokenError("insufficient_scope", f"This needs the scope compute.{COMPUTE[operation]}.")
        return f"Allowed by compute.{COMPUTE[operation]}."
    for target in targets:
        if not any(target.covered_by(scope) for scope in claims.scopes.storage):
            names = (
                " or ".join(f"storage.{name}" for name in sorted(target.scopes))
                or "more than scopes can give"
            )
            raise TokenError("insufficient_scope", f"This needs {names} for the path asked for.")
    return "Allowed by the storage scopes."


def _allow_by_groups(claims: Claims, operation: str) -> str:
    policy = claims.issuer.group_policy
    if any(operation in policy.get(group, ()) for group in claims.groups):
        return "Allowed to a group of the bearer."
    raise TokenError(
        "insufficient_scope", "The token holds no capability, and none of its groups may do this."
    )


def _targets(operation: str, path: str, path_to: str | None, exists: Mapping[str, str]) -> list[_Target]:
    """Every path that the operation touches.

    Raises:
        TokenError: A path is missing or has no normal form.
    """

    def target(raw: str, scopes: frozenset[str], *, makes: bool = False, directory: bool = False) -> _Target:
        normal, slash = of_request(raw)
        kind = "dir" if normal == "/" else exists.get(normal, "")
        needed = _REPLACERS if makes and kind else scopes
        means_directory = kind == "dir" or (not kind and (slash or directory))
        return _Target(normal, kind, means_directory, needed, leads=makes and directory and not kind)

    if operation not in TWO_PATHS:
        makes = operation in {"create_file", "create_dir"}
        return [target(path, STORAGE[operation], makes=makes, directory=operation in {"create_dir", "list"})]
    if path_to is None:
        raise TokenError("invalid_request", "The path to go to is missing.")
    if operation == "copy":
        return [target(path, STORAGE["read"]), target(path_to, STORAGE["create_file"], makes=True)]
    source = target(path, _WRITERS)
    if source.kind == "dir":  # storage.create lets files be renamed, not trees
        source = target(path, _REPLACERS)
    return [source, target(path_to, _WRITERS, makes=True)]

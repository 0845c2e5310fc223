"""The scope claim, taken apart."""

from __future__ import annotations

from dataclasses import dataclass, field

from fallow.tokens.errors import TokenError
from fallow.tokens.paths import BadPath, from_scope

STORAGE_NAMES = frozenset({"read", "create", "modify", "stage", "poll"})
COMPUTE_NAMES = frozenset({"read", "create", "modify", "cancel"})


@dataclass(frozen=True)
class StorageScope:
    """One `storage.<name>:<path>`."""

    name: str
    path: str
    """Normalised and decoded, without a trailing slash; `/` is the whole area."""
    directory: bool
    """Whether the path was given with a trailing slash and so stands for a directory only."""


@dataclass(frozen=True)
class Scopes:
    """What a scope claim allows; the order in the claim has no meaning."""

    storage: frozenset[StorageScope] = field(default_factory=frozenset)
    compute: frozenset[str] = field(default_factory=frozenset)
    """Names without `compute.`; only those that the profile defines."""
    capabilities: bool = False
    """Whether the claim holds any `storage.*` or `compute.*`, known or not: then groups do not count."""
    names: tuple[str, ...] = ()
    """Every scope as written, for showing."""


def parse(claim: str) -> Scopes:
    """Take a scope claim apart. Scopes that the profile does not define are ignored.

    Raises:
        TokenError: `invalid_token`: a `storage.*` scope has no path or one that is not strictly normal.
    """
    names = tuple(part for part in claim.split(" ") if part)
    storage, compute, capabilities = set(), set(), False
    for scope in names:
        name, _, path = scope.partition(":")
        if name.startswith("storage."):
            capabilities = True
            try:
                normal, directory = from_scope(path)
            except BadPath as error:
                raise TokenError("invalid_token", f"A storage scope's path {error}.") from error
            if name[8:] in STORAGE_NAMES:
                storage.add(StorageScope(name[8:], normal, directory))
        elif name.startswith("compute."):
            capabilities = True
            # "compute.create:/queue" restricts in a way nobody has defined: it must not become unrestricted
            if scope == name and name[8:] in COMPUTE_NAMES:
                compute.add(name[8:])
    return Scopes(frozenset(storage), frozenset(compute), capabilities, names)

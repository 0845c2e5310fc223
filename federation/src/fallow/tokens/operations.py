"""The operations that can be asked about, and the scopes of which any one allows them."""

from __future__ import annotations

STORAGE: dict[str, frozenset[str]] = {
    "read": frozenset({"read"}),
    "stat": frozenset({"read", "create", "modify", "stage"}),
    "create_file": frozenset({"create", "modify"}),
    "create_dir": frozenset({"create", "modify"}),
    "overwrite": frozenset({"modify"}),
    "truncate": frozenset({"modify"}),
    "delete": frozenset({"modify"}),
    "stage": frozenset({"stage"}),
    "abort": frozenset({"stage"}),
    "evict": frozenset({"stage"}),
    "release": frozenset({"stage"}),
    "pin": frozenset({"stage"}),
    "unpin": frozenset({"stage"}),
    "poll": frozenset({"poll", "stage"}),
    "list": frozenset(),  # the profile has postponed a scope for listing: only a group policy can allow it
}
"""Operations on one path → the `storage.*` scopes that allow them there."""

TWO_PATHS = frozenset({"rename", "copy"})
"""Storage operations from one path to another."""

COMPUTE: dict[str, str] = {"query": "read", "submit": "create", "edit": "modify", "cancel": "cancel"}
"""Operations on jobs → the one `compute.*` scope that allows each."""

EXCHANGE = "exchange_once"
"""The exchange of a token that is good for one use: needs no scope, and a `jti` that was not seen before."""

OPERATIONS: frozenset[str] = frozenset({*STORAGE, *TWO_PATHS, *COMPUTE, EXCHANGE})
"""Every operation's name."""

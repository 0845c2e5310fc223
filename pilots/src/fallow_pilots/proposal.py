"""Which lines of the policy follow from what was found on a node. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from fallow_pilots.nodefindings import Attributes
from fallow_pilots.policy import Policy


@dataclass(frozen=True)
class Proposal:
    """One clause of the policy, as the node wants it.

    Args:
        table: The policy's table.
        name: The setting.
        value: Its value in TOML; empty where it has that value already, or none would do.
        reason: What was found.
        stands: Whether the policy can stay as it is.
        remedy: What else to do.
    """

    table: str
    name: str
    value: str
    reason: str
    stands: bool
    remedy: str = ""

    @property
    def clause(self) -> str:
        """`table.name`."""
        return f"{self.table}.{self.name}"


def propose(policy: Policy, found: Attributes, relay: str) -> list[Proposal]:
    """What the policy should say.

    Args:
        policy: What it says now.
        found: What the check of a node would advertise.
        relay: Where the relay listens, or would, `host:port`.
    """
    copied = tuple(copy.repository for copy in policy.assume.cvmfs_copies)
    named = (*policy.assume.cvmfs, *copied)
    return [_profile(policy.network.profile, found, relay), *_cvmfs(named, found)]


def _profile(now: str, found: Attributes, relay: str) -> Proposal:
    def say(value: str, reason: str, remedy: str = "") -> Proposal:
        stands = value == now
        line = json.dumps(value) if value and not stands else ""
        return Proposal("network", "profile", line, reason, stands, remedy)

    if found.get("FallowOutbound") is True:
        return say("direct", "Nodes reach the hub and its store themselves.")
    if found.get("FallowProxyReached") is True and found.get("FallowEnclave") is True and now != "relay":
        return say("proxy", "Nodes reach nothing outside, but all of the hub by the site's proxy.")
    reached = found.get("FallowRelayReached") is True
    if now == "files":
        faster = f" The profile relay is faster, and nodes reach {relay}." if reached else ""
        return say("files", f"Nodes reach nothing outside; files carry what they say.{faster}")
    if found.get("FallowEnclave") is not True:
        return say(
            "",
            "Nodes reach nothing outside, and allow no network namespace, which the relay needs.",
            "Set user.max_net_namespaces and user.max_user_namespaces on the nodes.",
        )
    if reached:
        return say(
            "relay", f"Nodes reach nothing outside, but {relay}: a relay of the launcher's there is the way."
        )
    return say(
        "files",
        f"Nodes reach nothing outside, and neither proxy nor {relay}, but they share state_dir: files there can carry what "
        "they say.",
        f'Write network.profile = "files", or let nodes dial {relay}: that is faster.',
    )


def _cvmfs(named: tuple[str, ...], found: Mapping[str, object]) -> list[Proposal]:
    there = [name for name in str(found.get("FallowCvmfs", "")).split(",") if name]
    if set(there) <= set(named):
        return []
    value = json.dumps(sorted({*named, *there}))
    return [
        Proposal("assume", "cvmfs", value, f"The node has {', '.join(there)}: jobs could see them.", True)
    ]

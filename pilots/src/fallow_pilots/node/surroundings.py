"""What `fallow pilot check` asks of a node beside what every pilot looks at: which profile of a pilot fits here.

None of it is fatal: it is said, and the launcher proposes what to write into the policy.
"""

from __future__ import annotations

import platform
import socket
from collections.abc import Sequence
from pathlib import Path

from fallow.errors import FallowError, NotAvailableError
from fallow_pilots.node import enclave
from fallow_pilots.node.bounded import Check
from fallow_pilots.node.finding import Finding, find_program
from fallow_pilots.node.layout import Layout
from fallow_pilots.relay.terms import Target, read_terms
from fallow_pilots.relay.upstream import require_leads
from fallow_pilots.spec import PilotSpec

DIAL_S = 5.0
STARTER = Path("libexec", "apptainer", "bin", "starter-suid")
NOWHERE = Target(host="nowhere.invalid", port=443, address="198.51.100.1", what="nothing")
"""An address for documentation (RFC 5737): a network namespace is made to see whether it can be, and let go of."""


def looks(spec: PilotSpec, place: Layout) -> list[Check]:
    """The checks; each dials by the node's own network, whatever the policy's profile.

    Args:
        spec: What the launcher asked for.
        place: The pilot's directory.
    """
    found = [
        Check(lambda: _outbound(spec.probes), Finding("outbound", False, "The check of the way out hung.")),
        Check(lambda: _namespaces(place), Finding("network namespaces", False, "The check hung.")),
        Check(_machine, Finding("machine", False, "The check hung.")),
        Check(_setuid, Finding("setuid", False, "The check hung.")),
    ]
    if spec.probe_relay:
        relay = spec.probe_relay
        found.append(Check(lambda: _relay(relay), Finding("way to the login host", False, "The check hung.")))
    if spec.probe_proxy:
        proxy = spec.probe_proxy
        found.append(Check(lambda: _proxy(proxy), Finding("way to the proxy", False, "The check hung.")))
    return found


def _proxy(path: Path) -> Finding:
    terms = read_terms(path)
    try:
        if terms is None:
            raise NotAvailableError(f"This node does not see {path}.")
        require_leads(terms, terms.targets)
    except FallowError as error:
        return Finding("way to the proxy", True, error.what, capabilities={"FallowProxyReached": False})
    words = f"This node reaches the hub by the proxy at {terms.authority}."
    return Finding("way to the proxy", True, words, capabilities={"FallowProxyReached": True})


def _outbound(probes: Sequence[str]) -> Finding:
    """Which of the hub's places the node cannot dial; they are dialled one after the other, as a few are enough."""
    unreached: list[str] = []
    for place in probes:
        if not _dialled(place):
            unreached.append(place)
            break  # a firewall that drops packets costs the whole limit each time
    words = f"This node cannot dial {unreached[0]}." if unreached else f"This node dials {', '.join(probes)}."
    # No fault: the relay may be the way that the policy names.
    return Finding("outbound", True, words, capabilities={"FallowOutbound": not unreached})


def _relay(place: str) -> Finding:
    reached = _dialled(place)
    words = f"This node {'dials' if reached else 'cannot dial'} the launcher's host at {place}."
    return Finding("way to the login host", True, words, capabilities={"FallowRelayReached": reached})


def _dialled(place: str) -> bool:
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), DIAL_S).close()
    except (OSError, OverflowError):
        return False
    return True


def _namespaces(place: Layout) -> Finding:
    try:
        enclave.make([NOWHERE], "check-0", place.root / "hosts.check").close()
    except NotAvailableError as error:
        return Finding("network namespaces", True, error.what, capabilities={"FallowEnclave": False})
    words = "An ordinary user may make network namespaces here."
    return Finding("network namespaces", True, words, capabilities={"FallowEnclave": True})


def _machine() -> Finding:
    library, number = platform.libc_ver()
    parts = [platform.machine(), f"Linux {platform.release()}", f"{library or 'C library'} {number}".strip()]
    return Finding("machine", True, f"{', '.join(parts)}, Python {platform.python_version()}.")


def _setuid() -> Finding:
    """Whether Apptainer has its setuid part; pilots do not use it: it gives payloads no user namespace."""
    try:
        there = (find_program("apptainer").resolve().parents[1] / STARTER).exists()
    except NotAvailableError:
        there = False
    words = "is installed; pilots do not use it" if there else "is not installed, and not needed"
    return Finding("setuid", True, f"Apptainer's setuid part {words}.")

"""Who dials whom between a centre and its hub: each connection, and what a firewall has to let through. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fallow.messages import Federation
from fallow_pilots.policy import Policy
from fallow_pilots.relay.terms import places, url_place

NODE, LOGIN, PROXY, ATTACHED = "compute nodes", "launcher's host", "site's proxy", "attached machine"
INSIDE = "what is inside is encrypted up to the hub"
SSH = 22
ROLES = {"relay": f"{LOGIN}: relay", "ssh": LOGIN, "proxy": PROXY}
"""What a host is that something of the centre dials, by what is there."""


@dataclass(frozen=True)
class Hop:
    """One kind of TCP connection; `source` dials, and nothing dials back."""

    source: str
    host: str
    port: int
    what: str
    protection: str
    why: str

    def sentence(self) -> str:
        """For the admin of the firewall, or of the proxy."""
        if self.source == PROXY:
            return (
                f"Have the {PROXY} allow CONNECT to {self.host} port {self.port} ({self.what}): {self.why}."
            )
        return (
            f"Allow TCP from the {self.source} to {self.host} port {self.port} ({self.what}; {self.protection}): "
            f"{self.why}."
        )

    def row(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "sentence": self.sentence()}


def hops(policy: Policy, federation: Federation, here: str) -> list[Hop]:
    """Every connection that the centre makes.

    Args:
        policy: The centre's policy.
        federation: What the hub says of itself.
        here: The name of the launcher's host.
    """
    network = policy.network
    wanted = places(policy.identity.hub, federation, () if network.profile == "direct" else network.also)
    gateways = [place for place in wanted if place[2] == "gateway"]
    found, outer = [], LOGIN
    if network.proxy:
        outer = PROXY
        found.append(_to_proxy(LOGIN, network.proxy))
    elif network.attached:
        outer = ATTACHED
        found.append(
            Hop(ATTACHED, here, SSH, "ssh", "ssh", "what goes out of the launcher's host goes by it")
        )
    found += [
        Hop(outer, *gateway, "TLS", "the launcher asks for tokens and shows the offer")
        for gateway in gateways
    ]
    if network.profile == "direct":
        return [*found, *(_onward(NODE, place) for place in wanted)]
    if network.profile == "proxy" and network.proxy:
        found.append(_to_proxy(NODE, network.proxy))
    if network.profile == "relay":
        why = "nodes have no other way out; the relay leads to the places below and nowhere else"
        found.append(Hop(NODE, network.relay_host or here, network.relay_port, "relay", INSIDE, why))
    return [*found, *(_onward(outer, place) for place in wanted if place not in gateways)]


def _to_proxy(source: str, proxy: str) -> Hop:
    return Hop(source, *url_place(proxy), "proxy", INSIDE, "the site's HTTP proxy is the way out")


_WHY = {
    "gateway": ("TLS", "pilots report and ask for images"),
    "HTCondor collector": (
        "HTCondor's AES with tokens",
        "pilots join the pool, and are called back on this connection",
    ),
    "HTCondor queue": ("HTCondor's AES with tokens", "pilots get jobs and report their ends"),
    "S3 store": ("TLS", "images, inputs and outputs of jobs"),
}


def _onward(source: str, place: tuple[str, int, str]) -> Hop:
    host, port, what = place
    return Hop(source, host, port, what, *_WHY.get(what, ("as the service has it", "the policy wants it")))


def picture(found: Sequence[Hop], files: Path | None = None) -> str:
    """The same as a diagram: one line for each host that is dialled, the ports on the arrow.

    Args:
        found: What is dialled.
        files: The directory in which nodes and the relay leave each other files.
    """
    lines: list[str] = []
    for source in _once(hop.source for hop in found):
        dialled = [hop for hop in found if hop.source == source]
        for number, host in enumerate(_once(hop.host for hop in dialled)):
            ports = ", ".join(str(hop.port) for hop in dialled if hop.host == host)
            whats = [ROLES[hop.what] for hop in dialled if hop.host == host and hop.what in ROLES]
            name = f"{host} ({whats[0]})" if whats else host
            start = f"[{source}]" if number == 0 else " " * (len(source) + 2)
            lines.append(f"{start} --- {ports} --> [{name}]")
    if files is not None:
        lines.append(f"[{NODE}] ... files in {files} ... [{LOGIN}: relay]")
    return "\n".join(lines)


def _once(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))

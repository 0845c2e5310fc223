"""Who dials whom between a centre and its hub: each connection, and what a firewall has to let through. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fallow.messages import Federation
from fallow_pilots.policy import Policy
from fallow_pilots.relay.terms import places

NODE, LOGIN = "compute nodes", "launcher's host"


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
        """For a firewall's admin."""
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
    wanted = places(policy.identity.hub, federation, network.also if network.profile == "relay" else ())
    gateway = next(place for place in wanted if place[2] == "gateway")
    launcher = Hop(LOGIN, *gateway, "TLS", "the launcher asks for tokens and shows the offer")
    if network.profile == "direct":
        return [launcher, *(_onward(NODE, place) for place in wanted)]
    relay = Hop(
        NODE,
        network.relay_host or here,
        network.relay_port,
        "relay",
        "what is inside is encrypted up to the hub",
        "nodes have no other way out; the relay leads to the places below and nowhere else",
    )
    return [launcher, relay, *(_onward(LOGIN, place) for place in wanted if place != gateway)]


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


def picture(found: Sequence[Hop]) -> str:
    """The same as a diagram: one line for each host that is dialled, the ports on the arrow."""
    lines: list[str] = []
    for source in _once(hop.source for hop in found):
        dialled = [hop for hop in found if hop.source == source]
        for number, host in enumerate(_once(hop.host for hop in dialled)):
            ports = ", ".join(str(hop.port) for hop in dialled if hop.host == host)
            relay = any(hop.host == host and hop.what == "relay" for hop in dialled)
            name = f"{host} ({LOGIN}: relay)" if relay else host
            start = f"[{source}]" if number == 0 else " " * (len(source) + 2)
            lines.append(f"{start} --- {ports} --> [{name}]")
    return "\n".join(lines)


def _once(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))

"""The testbed's network: one bridge in a network namespace of its own, one cable to each host.

Nothing is made in the machine's own network: no interface, route or firewall rule. The bridge belongs to the host `switch`,
so it and every cable vanish with it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from ipaddress import IPv4Address

from fallow.errors import FallowError
from fallow_testbed.host import Host
from fallow_testbed.spec import NETWORK_BITS

BRIDGE = "br0"
CLOSED = """\
table inet closed {{
  chain in {{
    type filter hook input priority 0; policy drop
    iif lo accept
    ct state established accept
    tcp dport {incoming} accept
  }}
  chain out {{
    type filter hook output priority 0; policy drop
    oif lo accept
    ct state established accept
    tcp dport {outgoing} accept
  }}
}}
"""
"""A ruleset of nft(8)."""
SHUT = """\
table inet shut {{
  chain out {{
    type filter hook output priority 0; policy accept
    ct state established accept
    ip daddr {partner} drop
  }}
}}
"""


def build_switch(switch: Host) -> None:
    """Make the bridge on the started host `switch`."""
    switch.run(["ip", "link", "add", BRIDGE, "type", "bridge"])
    switch.run(["ip", "link", "set", BRIDGE, "up"])


def plug_in(switch: Host, host: Host, address: IPv4Address, only: Sequence[IPv4Address] | None) -> None:
    """Connect a started host to the bridge.

    Args:
        switch: The host that has the bridge.
        host: The host to connect.
        address: Its address.
        only: The addresses that the host has routes to; None: all.
    """
    port = f"p{int(address) & 0xFFFF:04x}"
    # Run in the switch's network but the machine's process namespace, where the other host's id means something.
    inside = ["nsenter", "--target", str(switch.pid()), "--net", "ip", "link", "add", port]
    _machine([*inside, "type", "veth", "peer", "name", "eth0", "netns", str(host.pid())])
    switch.run(["ip", "link", "set", port, "master", BRIDGE, "up"])
    bits = NETWORK_BITS if only is None else 32
    host.run(["ip", "address", "add", f"{address}/{bits}", "dev", "eth0"])
    host.run(["ip", "link", "set", "eth0", "up"])
    for other in only or ():
        host.run(["ip", "route", "add", f"{other}/32", "dev", "eth0"])


def close(host: Host, *, outgoing: int, incoming: int) -> None:
    """Have a host drop every packet but those of connections that it dials at one port and takes at another."""
    host.run(["nft", "-f", "-"], stdin=CLOSED.format(outgoing=outgoing, incoming=incoming))


def shut(host: Host, partner: IPv4Address) -> None:
    """Have a host drop what it sends to `partner`, but for answers."""
    host.run(["nft", "-f", "-"], stdin=SHUT.format(partner=partner))


def cut(host: Host) -> None:
    """Take a host off the network until `mend`."""
    host.run(["ip", "link", "set", "eth0", "down"])


def mend(host: Host) -> None:
    """Connect a host again after `cut`."""
    host.run(["ip", "link", "set", "eth0", "up"])


def _machine(argv: list[str]) -> None:
    done = subprocess.run(argv, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise FallowError(f"{' '.join(argv)} failed: {done.stderr.strip()}")

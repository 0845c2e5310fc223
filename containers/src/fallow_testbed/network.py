"""The testbed's network: one bridge in a network namespace of its own, one cable to each host.

Nothing is made in the machine's own network: no interface, route or firewall rule. The bridge belongs to the host `switch`,
so it and every cable vanish with it.
"""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Address

from fallow.errors import FallowError
from fallow_testbed.host import Host
from fallow_testbed.spec import NETWORK_BITS

BRIDGE = "br0"


def build_switch(switch: Host) -> None:
    """Make the bridge on the started host `switch`."""
    switch.run(["ip", "link", "add", BRIDGE, "type", "bridge"])
    switch.run(["ip", "link", "set", BRIDGE, "up"])


def plug_in(switch: Host, host: Host, address: IPv4Address, only_via: IPv4Address | None = None) -> None:
    """Connect a started host to the bridge.

    Args:
        switch: The host that has the bridge.
        host: The host to connect.
        address: Its address.
        only_via: When given, the one address that the host can reach: a compute node without outbound network.
    """
    port = f"p{int(address) & 0xFFFF:04x}"
    # Run in the switch's network but the machine's process namespace, where the other host's id means something.
    inside = ["nsenter", "--target", str(switch.pid()), "--net", "ip", "link", "add", port]
    _machine([*inside, "type", "veth", "peer", "name", "eth0", "netns", str(host.pid())])
    switch.run(["ip", "link", "set", port, "master", BRIDGE, "up"])
    bits = 32 if only_via else NETWORK_BITS
    host.run(["ip", "address", "add", f"{address}/{bits}", "dev", "eth0"])
    host.run(["ip", "link", "set", "eth0", "up"])
    if only_via:
        host.run(["ip", "route", "add", f"{only_via}/32", "dev", "eth0"])


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

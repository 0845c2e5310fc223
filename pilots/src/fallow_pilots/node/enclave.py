"""A network of the pilot's own on a node that has no way out: nothing is in it but the addresses of the hub and its store.

HTCondor's daemons know each other by address, so names alone would not lead them to a relay. An ordinary user may make
network namespaces inside a user namespace: two of them, with a cable between. In the one, *inside*, pilot and payloads
live; the other, the *gate*, has the hub's addresses, and what is dialled there is carried to the relay. HTCondor and
payloads are not told; certificates and names stay those of the hub. One namespace would not do: a daemon takes a peer
at an address of its own host for one of its family, and sends it a session that the hub does not know.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from zlib import crc32

from fallow.errors import NotAvailableError
from fallow_pilots.node import netlink
from fallow_pilots.relay.terms import Target

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_SLAVE = 4096, 16384, 1 << 19
OWN = IPv4Address("198.18.0.0")
"""Pilots have addresses of 198.18.0.0/15 there, which no network routes (RFC 2544): the hub never dials them."""
HOSTS = Path("/etc/hosts")
INSIDE, GATE = "fallow0", "fallow1"
"""The two ends of the cable."""

_libc = ctypes.CDLL(None, use_errno=True)


def own_address(pilot: str) -> str:
    """The address that a pilot has in its own network; the hub tells pilots apart by their names, logs by this."""
    return str(OWN + 1 + crc32(pilot.encode()) % ((1 << 17) - 2))


@dataclass(frozen=True)
class Enclave:
    """The namespaces, held open, and the sockets that listen inside.

    Args:
        user: File descriptor of the user namespace.
        net: Of the network namespace.
        mnt: Of the mount namespace, in which `/etc/hosts` names the hub.
        listening: Sockets inside, each with what it stands for, `host:port`.
    """

    user: int
    net: int
    mnt: int
    listening: tuple[tuple[socket.socket, str], ...]

    def enter(self) -> None:
        """Move the calling process, just forked, inside; it stays in its directory."""
        here = Path.cwd()
        for descriptor, kind in (
            (self.user, CLONE_NEWUSER),
            (self.net, CLONE_NEWNET),
            (self.mnt, CLONE_NEWNS),
        ):
            _call("setns", descriptor, kind)
        os.chdir(here)

    def close(self) -> None:
        """Let go of everything; the kernel ends the namespaces with the last process inside."""
        for listening, _ in self.listening:
            listening.close()
        for descriptor in (self.user, self.net, self.mnt):
            os.close(descriptor)


def make(targets: Sequence[Target], pilot: str, hosts: Path) -> Enclave:
    """Make the namespaces.

    Args:
        targets: What can be reached inside.
        pilot: The pilot's id.
        hosts: Where the `/etc/hosts` of the inside is written.

    Raises:
        NotAvailableError: The node does not allow it.
    """
    hosts.write_text(_hosts(HOSTS.read_text(errors="replace"), targets), encoding="utf-8")
    ours, theirs = socket.socketpair()
    maker = os.fork()
    if maker == 0:
        ours.close()
        _make(theirs, targets, pilot, hosts)
    theirs.close()
    try:
        with ours:
            said, descriptors, _, _ = socket.recv_fds(ours, 1024, 3 + len(targets))
    finally:
        os.waitpid(maker, 0)
    if len(descriptors) != 3 + len(targets):
        for descriptor in descriptors:
            os.close(descriptor)
        raise NotAvailableError(
            f"This node cannot give the pilot a network of its own: {said.decode(errors='replace') or 'it failed'}.",
            remedy="Allow user and network namespaces (user.max_user_namespaces, user.max_net_namespaces), or let "
            'nodes dial out and say network.profile = "direct".',
        )
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    user, net, mnt, *listening = descriptors
    sockets = [socket.socket(fileno=descriptor) for descriptor in listening]
    return Enclave(user, net, mnt, tuple(zip(sockets, (target.authority for target in targets))))


def _make(answer: socket.socket, targets: Sequence[Target], pilot: str, hosts: Path) -> None:
    """The child: make the namespaces, hand them over, end."""
    try:
        uid, gid = os.getuid(), os.getgid()
        _call("unshare", CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            Path("/proc/self", name).write_text(text, encoding="ascii")
        _call("mount", None, b"/", None, ctypes.c_ulong(MS_REC | MS_SLAVE), None)
        _call("mount", os.fsencode(hosts), os.fsencode(HOSTS), None, ctypes.c_ulong(MS_BIND), None)
        gate = os.open("/proc/self/ns/net", os.O_RDONLY)
        _call("unshare", CLONE_NEWNET)
        spaces = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY) for name in ("user", "net", "mnt")]
        netlink.add_cable(INSIDE, GATE, gate)
        addresses, own = dict.fromkeys(target.address for target in targets), own_address(pilot)
        for address in addresses:
            netlink.add_address(INSIDE, own, address)
        for interface in ("lo", INSIDE):
            netlink.bring_up(interface)
        _call("setns", gate, CLONE_NEWNET)
        for address in addresses:
            netlink.add_address(GATE, address, own)
        netlink.bring_up(GATE)
        listening = [socket.create_server((target.address, target.port), backlog=256) for target in targets]
        socket.send_fds(answer, [b"made"], [*spaces, *(one.fileno() for one in listening)])
    except OSError as error:
        answer.send(str(error).encode()[:1000])
    finally:
        os._exit(0)


def _hosts(known: str, targets: Sequence[Target]) -> str:
    """The node's own `/etc/hosts` behind the names of what can be reached."""
    names = dict.fromkeys(f"{target.address} {target.host}" for target in targets)
    return "\n".join([*names, known])


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")

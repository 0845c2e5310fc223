"""Interfaces of a network namespace, set up without a program of the node: rtnetlink(7) and netdevice(7).

`ip` would have to be executed, and an ordinary user's rights inside a user namespace end at execve(2).
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct

NETLINK_ROUTE = 0
NLMSG_ERROR, RTM_NEWLINK, RTM_NEWADDR = 2, 16, 20
REQUEST, ACK, EXCL, CREATE = 1, 4, 0x200, 0x400
IFLA_IFNAME, IFLA_LINKINFO, IFLA_NET_NS_FD = 3, 18, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
NO_INTERFACE = struct.pack("BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)
"""An `ifinfomsg` that names no interface yet."""
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def add_cable(near: str, far: str, far_net: int) -> None:
    """Make two interfaces that are the ends of one cable (veth(4)).

    Args:
        near: The end in this process's network.
        far: The other end.
        far_net: File descriptor of the network that it goes to.

    Raises:
        OSError: The kernel does not do it.
    """
    peer = NO_INTERFACE + _attribute(IFLA_IFNAME, _name(far))
    peer += _attribute(IFLA_NET_NS_FD, struct.pack("I", far_net))
    link = _attribute(IFLA_INFO_KIND, b"veth")
    link += _attribute(IFLA_INFO_DATA, _attribute(VETH_INFO_PEER, peer))
    body = NO_INTERFACE + _attribute(IFLA_IFNAME, _name(near)) + _attribute(IFLA_LINKINFO, link)
    _ask(RTM_NEWLINK, body)


def add_address(interface: str, local: str, peer: str) -> None:
    """Give an interface the address `local`, with `peer` alone at the other end.

    Raises:
        OSError: The kernel does not do it.
    """
    body = struct.pack("BBBBI", socket.AF_INET, 32, 0, 0, socket.if_nametoindex(interface))
    body += _attribute(IFA_LOCAL, socket.inet_aton(local)) + _attribute(IFA_ADDRESS, socket.inet_aton(peer))
    _ask(RTM_NEWADDR, body)


def bring_up(interface: str) -> None:
    """Start an interface.

    Raises:
        OSError: The kernel does not do it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", interface.encode(), IFF_UP))


def _name(interface: str) -> bytes:
    return interface.encode() + b"\0"


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _ask(kind: int, body: bytes) -> None:
    """Send one request and read whether it was done."""
    header = struct.pack("IHHII", 16 + len(body), kind, REQUEST | ACK | CREATE | EXCL, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as kernel:
        kernel.send(header + body)
        answer = kernel.recv(4096)
    said, number = struct.unpack_from("H", answer, 4)[0], struct.unpack_from("i", answer, 16)[0]
    if said == NLMSG_ERROR and number:
        raise OSError(-number, os.strerror(-number))

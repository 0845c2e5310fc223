"""Files that are put into a host's root before it starts: names, accounts, keys, configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path

from fallow_testbed.host import Host

FIRST_UID = 2001


def write(host: Host, path: str, text: str, *, mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> Path:
    """Write one file of a host, running or not, with its mode and owner from the first byte."""
    target = host.files / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as stream:
        os.fchmod(descriptor, mode)
        os.fchown(descriptor, *owner)
        stream.write(text)
    return target


def hosts_file(addresses: Mapping[str, IPv4Address]) -> str:
    """`/etc/hosts` with every host of the testbed."""
    return "".join(["127.0.0.1 localhost\n", *(f"{address} {name}\n" for name, address in addresses.items())])


def lower(layers: tuple[Path, ...], path: str) -> Path:
    """The file that a host sees at `path` before anything was written: that of the uppermost layer that has it."""
    for layer in layers:
        found = layer / path.lstrip("/")
        if found.exists():
            return found
    raise FileNotFoundError(path)


def ids(host: Host, account: str) -> tuple[int, int]:
    """The user and group id that an account of the root file system has."""
    for line in lower((host.files, *host.layers), "/etc/passwd").read_text().splitlines():
        fields = line.split(":")
        if fields[0] == account:
            return int(fields[2]), int(fields[3])
    raise KeyError(account)


def add_accounts(host: Host, names: tuple[str, ...]) -> None:
    """Add ordinary users (id from `FIRST_UID`, home below `/home`) to a host that has not started yet."""
    passwd = lower(host.layers, "/etc/passwd").read_text()
    group = lower(host.layers, "/etc/group").read_text()
    for uid, name in enumerate(names, start=FIRST_UID):
        passwd += f"{name}:x:{uid}:{uid}::/home/{name}:/bin/bash\n"
        group += f"{name}:x:{uid}:\n"
    write(host, "/etc/passwd", passwd)
    write(host, "/etc/group", group)


def make_home(base: Path, names: tuple[str, ...]) -> None:
    """Make the home directories of `add_accounts` below `base`."""
    for uid, name in enumerate(names, start=FIRST_UID):
        home = base / name
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
        os.chown(home, uid, uid)


def make_scratch(host: Host) -> None:
    """Make `/scratch`, open to all accounts as `/tmp` is."""
    scratch = host.upper / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    scratch.chmod(0o1777)

"""CVMFS as compute nodes see it: a repository that is there, read-only and with a revision, or one that never answers."""

from __future__ import annotations

import os
from pathlib import Path

from fallow_testbed.host import Host, Mount
from fallow_testbed.wait import wait_until

REPOSITORY = "software.eessi.io"
PLACE = f"/cvmfs/{REPOSITORY}"
REVISION = 2077
FILES = {
    "README.eessi": "Software for every machine.\n",
    "versions/2023.06/init/bash": "export EESSI_VERSION=2023.06\n",
}
HANG = f"""
import ctypes, os, signal
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={{fuse}},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if ctypes.CDLL(None, use_errno=True).mount(b"cvmfs2", b"{PLACE}", b"fuse", 0, options):
    raise OSError(ctypes.get_errno(), "mount")
signal.pause()
"""
"""Mounts what a client whose server is away mounts: whoever looks there waits (fuse(4)), as nobody reads the questions."""


def mount(place: Path) -> Mount:
    """How nodes mount the repository that lies at `place` on the machine."""
    return Mount("bind", str(place), PLACE, "ro")


def make(place: Path) -> None:
    """Make the repository at `place` on the machine."""
    for name, text in FILES.items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    os.setxattr(place, "user.revision", str(REVISION).encode())


def hang(node: Host) -> None:
    """Mount the repository that never answers on a running node."""
    node.run(["mkdir", "-p", PLACE])
    node.spawn(["python3", "-c", HANG], log="/var/log/fallow/cvmfs.log")
    there = ["grep", "-q", f" {PLACE} fuse ", "/proc/mounts"]
    wait_until(lambda: node.run(there, check=False).returncode == 0, f"{PLACE} on {node.name}", 20)

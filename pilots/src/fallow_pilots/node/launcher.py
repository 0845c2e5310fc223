"""Writes the programs that HTCondor starts: our Apptainer with this pilot's values before it, and our starter."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from fallow.files import private_directory
from fallow_pilots.node import jail
from fallow_pilots.node.layout import Layout
from fallow_pilots.node.stagerequests import CACHE

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"

SHIELD = "case ${1-} in --version) trap '' TERM ;; esac\n"
"""The first line of the launcher: what the starter asks before each job is answered, whatever the batch system signals."""

SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/proc", "/sys", "/dev", "/cvmfs",
    "/var/lib/apptainer", "/var/apptainer", "/var/lib/sss",
)  # fmt: skip
"""What every node has of programs, devices and names; no place of users' files."""


@dataclass(frozen=True)
class Values:
    """What the script must know of the node.

    `user_processes` bounds all processes of the pilot's user on the node; `job_processes` those of one payload, to which
    256 for each of its cores are added. Kernels before 5.14 count per user only: there both are the same.
    """

    apptainer: Path
    version: str
    libexec: Path
    starter: Path
    store: Path
    check_image: Path
    binds: tuple[str, ...]
    user_processes: int
    job_processes: int
    network: bool = True
    copies: tuple[Path, ...] = ()
    """Directories in which the site has copies of images, or of CVMFS repositories."""


def text(layout: Layout, values: Values) -> str:
    """The script."""
    names = {
        "apptainer": str(values.apptainer),
        "version": values.version,
        "execute": str(layout.execute),
        "libexec": str(values.libexec),
        "store": str(values.store),
        "verified": str(layout.verified),
        "requests": str(layout.requests),
        "staging": str(layout.staging),
        "entry": str(layout.payload_entry),
        "check_sif": str(values.check_image),
        "home": str(layout.root / "home"),
        "extra_binds": ",".join(values.binds),
        "procs_user": str(values.user_processes),
        "procs_job": str(values.job_processes),
        "no_network": "" if values.network else "yes",
        "path": SYSTEM_PATH,
    }
    head = "".join(f"{name}={shlex.quote(value)}\n" for name, value in names.items())
    # The job's variables go first: they may have the names of ours.
    start = f"#!/bin/sh\n{SHIELD}PATH={SYSTEM_PATH}\n{_shipped('fallow-clean.sh')}"
    return f"{start}\n{head}\n{_shipped('fallow-apptainer.sh')}"


def jail_plan(layout: Layout, values: Values) -> dict[str, object]:
    """What a starter sees of the node; see `jail.main`.

    Of the file systems that the pilot's user can read only the centre's images are shown, and the programs that it needs.
    """
    needed = [values.apptainer.resolve().parent.parent, values.starter.parent.parent, values.libexec]
    resolver = Path("/etc/resolv.conf").resolve().parent
    shown = [Path(name) for name in SYSTEM] + [resolver, *needed, values.store, *values.copies, layout.root]
    return {
        "root": str(layout.root / "jail"),
        # Shorter paths first: what lies below one that is shown already is there.
        "shown": [
            str(path)
            for path in sorted(set(shown), key=lambda path: len(path.parts))
            if os.path.lexists(path)
        ],
        "writable": [str(layout.root / name) for name in ("log", "run", "spool", "requests", "staging")],
        "execute": str(layout.execute),
        "hidden": [str(path) for path in (layout.tokens, values.store / CACHE) if path.is_dir()],
        "read_only": [str(layout.root)],
    }


def jailed(layout: Layout) -> list[str]:
    """The words before a command that make it run in a jail."""
    return [sys.executable, "-I", "-S", str(jail.__file__), str(layout.jail_plan)]


def write(layout: Layout, values: Values) -> None:
    """Put the script and the payload's entry into the pilot's directory."""
    with contextlib.suppress(OSError):  # the store may be one that this node can only read
        private_directory(values.store / CACHE)
    layout.launcher.write_text(text(layout, values), encoding="utf-8")
    layout.launcher.chmod(0o700)
    command = shlex.join([*jailed(layout), str(values.starter)])
    layout.starter.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    layout.starter.chmod(0o700)
    # A batch system that ends a job signals all its processes at once. Without the procd, which has no clean end of its
    # own, startd and starter crash before they have said that the job goes back to the queue; it ends with the master.
    procd = shlex.quote(str(values.starter.with_name("condor_procd")))
    layout.procd.write_text(f"#!/bin/sh\ntrap '' TERM INT HUP\nexec {procd} \"$@\"\n", encoding="utf-8")
    layout.procd.chmod(0o700)
    layout.jail_plan.write_text(json.dumps(jail_plan(layout, values)), encoding="utf-8")
    for place, name in ((layout.payload_entry, "fallow-payload.sh"), (layout.hook, "fallow-admit.sh")):
        place.write_text(_shipped(name), encoding="utf-8")
        place.chmod(0o755)


def _shipped(name: str) -> str:
    return files("fallow_pilots.node").joinpath(name).read_text(encoding="utf-8")

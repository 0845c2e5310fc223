"""Writes the program that HTCondor starts as Apptainer: our script with this pilot's values before it."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Tuple

from fallow_pilots.node.layout import Layout

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Values:
    """What the script must know of the node.

    `user_processes` bounds all processes of the pilot's user on the node; `job_processes` those of one payload, to which
    256 for each of its cores are added. Kernels before 5.14 count per user only: there both are the same.
    """

    apptainer: Path
    libexec: Path
    store: Path
    spec: Path
    check_image: Path
    binds: Tuple[str, ...]
    user_processes: int
    job_processes: int


def text(layout: Layout, values: Values) -> str:
    """The script."""
    names = {
        "apptainer": str(values.apptainer),
        "execute": str(layout.execute),
        "libexec": str(values.libexec),
        "store": str(values.store),
        "verified": str(layout.verified),
        "entry": str(layout.payload_entry),
        "check_sif": str(values.check_image),
        "home": str(layout.root / "home"),
        "extra_binds": ",".join(values.binds),
        "procs_user": str(values.user_processes),
        "procs_job": str(values.job_processes),
        "path": SYSTEM_PATH,
    }
    fetch = shlex.join(
        [sys.executable, "-I", "-m", "fallow_pilots.node.fetch", str(values.spec), str(layout.verified)]
    )
    head = "".join(f"{name}={shlex.quote(value)}\n" for name, value in names.items())
    log = shlex.quote(str(layout.logs / "images"))
    return f'#!/bin/sh\n{head}fetch() {{ {fetch} "$1" </dev/null >>{log} 2>&1; }}\n\n{_shipped("fallow-apptainer.sh")}'


def write(layout: Layout, values: Values) -> None:
    """Put the script and the payload's entry into the pilot's directory."""
    layout.launcher.write_text(text(layout, values), encoding="utf-8")
    layout.launcher.chmod(0o700)
    layout.payload_entry.write_text(_shipped("fallow-payload.sh"), encoding="utf-8")
    layout.payload_entry.chmod(0o755)


def _shipped(name: str) -> str:
    return files("fallow_pilots.node").joinpath(name).read_text(encoding="utf-8")

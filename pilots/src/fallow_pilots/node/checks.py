"""The node check: what this node can do, and whether payloads would be safe on it.

Each check looks at one thing and answers with a `Finding`. Only what makes payloads unsafe, or every payload fail, is
fatal; the rest is advertised in the slot, where jobs may ask for it.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import requests

from fallow.errors import NotAvailableError
from fallow_pilots.node.clock import skew_s
from fallow_pilots.node.condor import Programs, Value
from fallow_pilots.spec import PilotSpec

OLDEST_HTCONDOR = (25, 13, 2)
OLDEST_APPTAINER = (1, 3, 0)
MAX_SKEW_S = 60.0
"""Tokens carry moments; with more they are refused or live too long."""
COMMAND_S = 30.0
LEAST_DISK_MB = 256
CVMFS_S = 10.0


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Args:
        check: The check's name.
        good: Whether all is well.
        words: One sentence: what was found and, where it is not well, what to do.
        fatal: Whether the pilot must not take payloads.
        capabilities: Attributes to advertise.
    """

    check: str
    good: bool
    words: str
    fatal: bool = False
    capabilities: Mapping[str, Value] = field(default_factory=dict)


def capabilities(findings: Sequence[Finding]) -> dict[str, Value]:
    """All that the findings have to advertise."""
    merged: dict[str, Value] = {}
    for finding in findings:
        merged.update(finding.capabilities)
    return merged


def fatal(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that forbid taking payloads."""
    return [finding for finding in findings if finding.fatal and not finding.good]


def version(text: str) -> tuple[int, ...] | None:
    """The first dotted version number in a program's output."""
    found = re.search(r"\b(\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else None


def run(
    argv: Sequence[str], timeout_s: float = COMMAND_S, directory: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of the node with an environment of its own.

    Raises:
        NotAvailableError: It cannot be started or does not end.
    """
    try:
        return subprocess.run(
            list(argv),
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            cwd=directory,
            env={"PATH": os.defpath + ":/usr/sbin:/sbin", "HOME": "/nonexistent", "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise NotAvailableError(f"{argv[0]} did not end within {timeout_s:.0f} s.") from error
    except OSError as error:
        raise NotAvailableError(f"{argv[0]} cannot be started: {error.strerror}.") from error


def find_program(name: str) -> Path:
    """A program on PATH or in the system's directories.

    Raises:
        NotAvailableError: There is none.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise NotAvailableError(
            f"The node has no {name}.", remedy="Install it, or put it on the pilots' PATH."
        )
    return Path(found)


def find_htcondor() -> Programs:
    """HTCondor's programs, from a package or an unpacked release, of a version that is safe.

    Raises:
        NotAvailableError: There is none, it is incomplete or too old.
    """
    master = find_program("condor_master").resolve()
    release = master.parent.parent
    for libexec in (
        release / "libexec" / "condor",
        release / "libexec",
        release / "lib" / "condor" / "libexec",
    ):
        if (libexec / "condor_container_launcher.sh").exists():
            break
    else:
        raise NotAvailableError(
            f"HTCondor at {master} has no libexec directory.", remedy="Install HTCondor whole."
        )
    said = run([str(master), "-version"]).stdout
    number = version(said)
    if number is None or number < OLDEST_HTCONDOR:
        oldest = ".".join(map(str, OLDEST_HTCONDOR))
        shown = ".".join(map(str, number)) if number else "an unknown version"
        raise NotAvailableError(
            f"HTCondor at {master} is {shown}.",
            remedy=f"Install {oldest} or later: older ones let payloads out.",
        )
    return Programs(sbin=master.parent, libexec=libexec)


def check_disk(spec: PilotSpec, directory: Path) -> Finding:
    """Free space for payloads; fatal when there is next to none."""
    free_mb = shutil.disk_usage(directory).free >> 20
    words = f"{free_mb} MB are free at {directory}"
    if free_mb < LEAST_DISK_MB:
        return Finding("disk", False, f"{words}: free some, or name another scratch directory.", fatal=True)
    if free_mb < spec.disk_mb:
        return Finding("disk", False, f"{words}, {spec.disk_mb} were promised: the slot offers what is free.")
    return Finding("disk", True, f"{words}.")


def disk_kb(spec: PilotSpec, directory: Path) -> int:
    """Disk space that the slot offers: what was promised or what is free, whichever is less."""
    free_kb = shutil.disk_usage(directory).free >> 10
    return min(free_kb, spec.disk_mb << 10) if spec.disk_mb else free_kb


def check_memory(spec: PilotSpec, meminfo: str) -> Finding:
    """Whether the node has the memory that the slot would offer.

    Args:
        spec: What the launcher asked for.
        meminfo: Text of `/proc/meminfo`.
    """
    found = re.search(r"^MemTotal:\s+(\d+) kB", meminfo, re.MULTILINE)
    total_mb = int(found.group(1)) >> 10 if found else 0
    if total_mb < spec.memory_mb:
        return Finding(
            "memory",
            False,
            f"The node has {total_mb} MB of memory, the pilot was given {spec.memory_mb}: mend the policy.",
            fatal=True,
        )
    return Finding("memory", True, f"The node has {total_mb} MB of memory.")


def check_hub(spec: PilotSpec) -> Finding:
    """Whether the gateway answers, and how far the clocks are apart; only wrong clocks are fatal."""
    proxies = {"http": spec.proxy, "https": spec.proxy} if spec.proxy else {}
    before = time.time()
    try:
        with requests.get(
            f"{spec.hub.rstrip('/')}/healthz",
            timeout=(5, 10),
            allow_redirects=False,
            verify=str(spec.ca_file) if spec.ca_file else True,
            proxies=proxies,
        ) as answer:
            date = answer.headers.get("Date")
    except (requests.RequestException, OSError) as error:
        return Finding(
            "hub",
            False,
            f"The gateway {spec.hub} does not answer ({type(error).__name__}): images cannot be fetched.",
            capabilities={"FallowHubReachable": False},
        )
    ahead = skew_s(date, before, time.time())
    found: dict[str, Value] = {"FallowHubReachable": True}
    if ahead is None:
        return Finding("hub", True, f"The gateway {spec.hub} answers, but tells no time.", capabilities=found)
    found["FallowClockSkew"] = round(ahead, 1)
    if abs(ahead) > MAX_SKEW_S:
        words = f"This clock is {ahead:+.0f} s off the hub's: set the node's clock."
        return Finding("clock", False, words, fatal=True, capabilities=found)
    return Finding("hub", True, f"The gateway {spec.hub} answers; clocks agree.", capabilities=found)


def check_collector(spec: PilotSpec) -> Finding:
    """Whether the pool's collector can be reached from here."""
    host, _, port = spec.collector.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=10):
            return Finding("collector", True, f"The collector {spec.collector} can be reached.")
    except (OSError, ValueError) as error:
        return Finding("collector", False, f"The collector {spec.collector} cannot be reached: {error}.")


def check_cvmfs(repository: str) -> Finding:
    """Whether a CVMFS repository can be listed; a hanging mount counts as missing."""
    attribute = "FallowCvmfs_" + re.sub(r"[^A-Za-z0-9]", "_", repository)
    try:
        good = run(["ls", f"/cvmfs/{repository}/"], CVMFS_S).returncode == 0
    except NotAvailableError:
        good = False
    words = f"/cvmfs/{repository} {'is there' if good else 'cannot be listed'}."
    return Finding("cvmfs", good, words, capabilities={attribute: good})


def check_gpus(spec: PilotSpec, libexec: Path) -> Finding:
    """Whether HTCondor finds the GPUs that the pilot was given."""
    if not spec.gpus:
        return Finding("gpus", True, "No GPUs were asked for.")
    try:
        said = run([str(libexec / "condor_gpu_discovery"), "-properties"]).stdout
    except NotAvailableError as error:
        return Finding("gpus", False, str(error))
    if "DetectedGPUs=" in said.replace(" ", "") and "DetectedGPUs=0" not in said.replace(" ", ""):
        return Finding("gpus", True, "GPUs were found.", capabilities={"FallowHasGpus": True})
    return Finding("gpus", False, "No GPU was found: the slot offers none.")

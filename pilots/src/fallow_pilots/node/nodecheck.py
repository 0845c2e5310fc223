"""The node check: everything that is looked at before a pilot takes payloads."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Callable

from fallow.errors import FallowError
from fallow_pilots.node import checks, isolation, launcher, network, scratch, surroundings
from fallow_pilots.node.allocation import Allocation, allocation, read_limits
from fallow_pilots.node.bounded import Check, gather
from fallow_pilots.node.condor import Node, Programs
from fallow_pilots.node.features import Features
from fallow_pilots.node.finding import Finding, Value, fatal
from fallow_pilots.node.layout import Layout
from fallow_pilots.node.way import Way
from fallow_pilots.nodefindings import NodeCheck, NodeFinding
from fallow_pilots.spec import PilotSpec

log = logging.getLogger(__name__)

CVMFS, CVMFS_CHECK = "FallowCvmfs", "cvmfs"
PER_NAMESPACE_SINCE = (5, 14)
"""Linux counts processes per user namespace since then."""
CVMFS_S = 10.0
ISOLATION_S = 45.0
GPUS_S = 30.0


@dataclass(frozen=True)
class Examined:
    """A node that was looked at.

    Args:
        found: The document about it.
        programs: HTCondor's programs.
        node: What the configuration needs; None where the node is not fit.
    """

    found: NodeCheck
    programs: Programs | None
    node: Node | None

    @property
    def trouble(self) -> str:
        """Why payloads may not run here; empty where they may."""
        return " ".join(one.words for one in self.found.findings if one.fatal and not one.good)


def examine(spec: PilotSpec, place: Layout, environment: Mapping[str, str], way: Way) -> Examined:
    """Look at the node, and write our programs into the pilot's directory."""
    features = Features(environment)
    offered = allocation(spec, read_limits(environment, features))
    programs: Programs | None = None
    try:
        # A full disk may show itself only where something is written: what can be said is said first.
        findings = gather(_storage(spec, offered, place))
        if not fatal(findings):
            programs = checks.find_htcondor()
            apptainer, version = isolation.apptainer()
            image = isolation.make_check_image(apptainer, programs.libexec, place.root)
            values = _values(spec, programs, apptainer, version, image)
            launcher.write(place, values)
            looks = [_isolation(place, apptainer, image), *_others(spec, offered, programs, way)]
            findings = [*gather(looks), *findings]
            binds = payload_binds(spec, findings)
            if binds != values.binds:
                launcher.write(place, replace(values, binds=binds))
    except FallowError as error:
        findings.append(Finding("programs", False, str(error), fatal=True))
    if spec.findings_file is not None:
        findings += gather(surroundings.looks(spec, place))
    findings.append(checks.check_allocation(spec, offered))
    offered, kept = _kept(offered, place)
    findings.append(kept)
    if features.refused:
        findings.append(Finding("features", False, features.refused))
    return _judged(spec, programs, offered, findings)


def _judged(
    spec: PilotSpec,
    programs: Programs | None,
    offered: Allocation,
    findings: Sequence[Finding],
) -> Examined:
    for finding in findings:
        log.log(logging.INFO if finding.good else logging.WARNING, "%s: %s", finding.check, finding.words)
    attributes = _attributes(findings)
    fit = programs is not None and not fatal(findings)
    found = NodeCheck(
        pilot=spec.pilot,
        node=socket.gethostname(),
        checked=datetime.now(timezone.utc),
        fit=fit,
        findings=tuple(
            NodeFinding(check=one.check, good=one.good, fatal=one.fatal, words=one.words) for one in findings
        ),
        attributes=attributes,
    )
    if not fit:
        return Examined(found, programs, None)
    node = Node(
        hostname=found.node,
        cores=offered.cores,
        memory_mb=offered.memory_mb,
        disk_kb=offered.disk_mb << 10,
        gpus=offered.gpus if attributes.pop("FallowHasGpus", False) else 0,
        capabilities=attributes,
    )
    return Examined(found, programs, node)


def _kept(offered: Allocation, place: Layout) -> tuple[Allocation, Finding]:
    """What is offered once it is known where files lie: in memory they are paid for with it."""
    where = scratch.kind(place.execute, Path("/proc/self/mountinfo").read_text(errors="replace"))
    free_mb = shutil.disk_usage(place.execute).free >> 20
    memory_mb, disk_mb = scratch.shares(where, offered.memory_mb, offered.disk_mb, free_mb)
    return replace(offered, memory_mb=memory_mb, disk_mb=disk_mb), scratch.check(where, memory_mb, disk_mb)


def _storage(spec: PilotSpec, offered: Allocation, place: Layout) -> list[Check]:
    store = spec.image_store_dir

    def look_at_store() -> Finding:
        # Starters see only what is there now: the first pilot of a centre makes the store.
        store.mkdir(mode=0o755, parents=True, exist_ok=True)
        return checks.check_store(store)

    return [
        _check("disk", lambda: checks.check_disk(offered.disk_mb, place.execute), fatal=True),
        _check("scratch", lambda: checks.check_speed(place.execute), fatal=True),
        _check("image store", look_at_store, fatal=True),
    ]


def _isolation(place: Layout, apptainer: Path, image: Path) -> Check:
    def look() -> Finding:
        return isolation.check(launcher.jailed(place), apptainer, image)

    return _check("isolation", look, limit_s=ISOLATION_S, fatal=True)


def _others(spec: PilotSpec, offered: Allocation, programs: Programs, way: Way) -> list[Check]:
    def over(look: Callable[[PilotSpec], Finding]) -> Callable[[], Finding]:
        def inside() -> Finding:
            way.enter()
            return look(spec)

        return inside

    cpuinfo = Path("/proc/cpuinfo")
    looks = [
        _check(
            "processor",
            lambda: checks.check_processor(cpuinfo.read_text(errors="replace"), platform.machine()),
        ),
        _check("names", over(network.check_names)),
        _check("collector", over(network.check_collector)),
        _check("hub", over(network.check_hub), capabilities={"FallowHubReachable": False}),
        _check("gpus", lambda: checks.check_gpus(offered.gpus, programs.libexec), limit_s=GPUS_S),
    ]
    places = _copies(spec) or {name: checks.CVMFS_ROOT / name for name in checks.repositories(spec.cvmfs)}
    for repository, place in places.items():
        looks.append(
            _check(
                CVMFS_CHECK,
                partial(checks.check_cvmfs, repository, place),
                what=str(place),
                limit_s=CVMFS_S,
            )
        )
    return looks


def _check(
    check: str,
    look: Callable[[], Finding],
    *,
    what: str = "",
    limit_s: float = 15.0,
    fatal: bool = False,
    capabilities: Mapping[str, Value] | None = None,
) -> Check:
    words = f"The check of {what or 'the ' + check} did not end within {limit_s:.0f} s, or failed."
    return Check(look, Finding(check, False, words, fatal=fatal, capabilities=capabilities or {}), limit_s)


def _attributes(findings: Sequence[Finding]) -> dict[str, Value]:
    merged: dict[str, Value] = {}
    for finding in findings:
        for name, value in finding.capabilities.items():
            listed = name == CVMFS and name in merged
            merged[name] = f"{merged[name]},{value}" if listed else value
    return merged


def _values(
    spec: PilotSpec, programs: Programs, apptainer: Path, version: str, image: Path
) -> launcher.Values:
    user_processes = max(4096, 1024 * (os.cpu_count() or 1))
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    return launcher.Values(
        apptainer=apptainer,
        version=version,
        libexec=programs.libexec,
        starter=programs.sbin / "condor_starter",
        store=spec.image_store_dir,
        check_image=image,
        binds=payload_binds(spec),
        user_processes=user_processes,
        network=spec.network,
        copies=(*spec.image_copies, *(one for one in _copies(spec).values() if not checks.holds_own(one))),
        job_processes=256 if release >= PER_NAMESPACE_SINCE else user_processes,
    )


def _copies(spec: PilotSpec) -> dict[str, Path]:
    """Where the copies of CVMFS repositories are now: a site that syncs one may move its link at any time."""
    return {repository: place.resolve() for repository, place in spec.cvmfs_copies.items()}


def payload_binds(spec: PilotSpec, findings: Sequence[Finding] = ()) -> tuple[str, ...]:
    """What of the node every payload sees, read-only.

    Where a CVMFS repository hangs, or cannot be listed, payloads see the others only: whoever touched it would hang as well.
    """
    seen = [one for one in findings if one.check == CVMFS_CHECK]
    good = [f"/cvmfs/{one.capabilities[CVMFS]}" for one in seen if one.good]
    cvmfs = ["/cvmfs"] if len(good) == len(seen) else good
    wanted = ["/etc/hosts", "/etc/localtime", *(cvmfs if spec.cvmfs else [])]
    shown = [(Path(place), place) for place in wanted]
    shown += [(place, f"/cvmfs/{repository}") for repository, place in _copies(spec).items()]
    return tuple(
        f"{place}:{there}:ro" for place, there in shown if place.exists() and not checks.holds_own(place)
    )

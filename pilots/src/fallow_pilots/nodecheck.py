"""Has a node checked as a pilot would check it: by a short job of its own in the centre's batch system."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable

from fallow.errors import NotAvailableError
from fallow.files import private_directory
from fallow.messages import Federation
from fallow_pilots.batch.model import BatchJob, JobStatus, Phase, Stop
from fallow_pilots.caps import Lot
from fallow_pilots.centre import Centre
from fallow_pilots.nodefindings import Attributes, NodeCheck, read_node_check
from fallow_pilots.outcome import Code, Outcome, printable
from fallow_pilots.policy import Policy, Shape
from fallow_pilots.prepare import job_of_lot, lay_out, pilot_spec
from fallow_pilots.relay.terms import places
from fallow_pilots.watch import read_outcome

POLL_S = 0.5
SETTLE_S = 10.0
"""How long a file may take to be seen here after the job has ended on its node."""
MEMORY_MB = 1024


@dataclass(frozen=True)
class Seen:
    """One thing that the node check looked at."""

    check: str
    good: bool
    words: str


@dataclass(frozen=True)
class Looked:
    """What was seen of one node; `attributes` is what a slot there would advertise."""

    node: str
    seen: list[Seen]
    attributes: Attributes


def relay_address(policy: Policy) -> str:
    """Where the centre's relay listens, or would, `host:port`."""
    return f"{policy.network.relay_host or socket.gethostname()}:{policy.network.relay_port}"


def check_node(
    centre: Centre, federation: Federation, shape: Shape, wait_s: float, say: Callable[[str], None]
) -> Looked:
    """Have one node that could take a pilot of `shape` checked; the job asks for one core, and the shape's GPUs.

    What becomes of the job meanwhile is told to `say`.

    Raises:
        NotAvailableError: No node took the job in `wait_s` seconds, or it left no findings.
    """
    policy, layout = centre.policy, centre.layout
    name = f"{policy.identity.centre}-check-{os.getpid()}"
    size = shape.model_copy(
        update={"cores": 1, "memory_mb": min(MEMORY_MB, shape.memory_mb), "disk_mb": 0, "nodes": 1}
    )
    lot = Lot(size, policy.pilot.min_walltime_s, 1)
    directory = layout.spec(name).parent
    private_directory(directory)
    try:
        job = job_of_lot(policy, layout, name, lot, None)
        findings = directory / "findings.json"
        told = pilot_spec(policy, layout, name, lot, federation)
        proxy = layout.upstream if policy.network.proxy and centre.relay.lead(federation) else None
        probes = tuple(f"{host}:{port}" for host, port, _ in places(policy.identity.hub, federation))
        asked = {
            "findings_file": findings,
            "probes": probes,
            "probe_relay": relay_address(policy),
            "probe_proxy": proxy,
        }
        lay_out(centre.batch, job, told.model_copy(update=asked))
        with _ear(centre, federation):
            last = _run(centre, job, wait_s, say)
        found, outcome = _wait_for(centre, name)
        if outcome is None or (found is None and outcome.code < Code.BANNED):
            raise NotAvailableError(
                f"The node check left no findings: {_tail(centre, name)}",
                remedy="Do compute nodes see state_dir and assume.node_command?",
            )
        node = last.node if last and last.node else "unknown"
        if found is None:
            return Looked(node, [Seen("programs", False, outcome.reason)], {})
        seen = [Seen(one.check, one.good, printable(one.words)) for one in found.findings]
        return Looked(node, seen, found.attributes)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _ear(centre: Centre, federation: Federation) -> Iterator[None]:
    """Listen where the relay is to be, so that the node can try; a relay that is wanted already is started."""
    policy = centre.policy
    if policy.network.profile != "direct":
        trouble = centre.relay.keep(federation)
        if trouble:
            raise NotAvailableError(trouble, remedy="Mend the policy's table network.")
    if policy.network.profile == "relay":
        yield
        return
    try:
        host, _, port = relay_address(policy).rpartition(":")
        ear = socket.create_server((host, int(port)))
    except OSError:
        yield  # the node will not reach it, which is what there is to say
        return
    with ear:
        yield


def _run(centre: Centre, job: BatchJob, wait_s: float, say: Callable[[str], None]) -> JobStatus | None:
    """Submit the job and wait for its end; the last that was seen of it while it ran."""
    deadline = time.monotonic() + wait_s
    native_id = centre.batch.submit(job)
    last: JobStatus | None = None
    detail = "unknown"
    while time.monotonic() < deadline:
        found = [status for status in centre.batch.status([job.name]) if status.name == job.name]
        for status in found:
            if status.detail != detail:
                detail = status.detail
                say(f"The job that checks a node is {detail}.")
            if status.node:
                last = status
        if not found or found[-1].phase is Phase.ENDED:  # only then can a pilot have the node
            return last
        time.sleep(POLL_S)
    centre.batch.stop([native_id], Stop.KILL)
    raise NotAvailableError(
        f"No node ended the check in {wait_s:.0f} s; the job was {detail} and has been removed.",
        remedy="Try again when a node is free, wait longer with --wait-s, or leave it out with --no-node.",
    )


def _wait_for(centre: Centre, name: str) -> tuple[NodeCheck | None, Outcome | None]:
    """What the job left, which on a shared file system may come late."""
    path = centre.layout.outcome(name)
    deadline = time.monotonic() + SETTLE_S
    while (outcome := read_outcome(path)) is None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return read_node_check(path.with_name("findings.json")), outcome


def _tail(centre: Centre, name: str) -> str:
    path = centre.layout.log(name)
    text = printable(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else ""
    return text.strip()[-300:] or "its log is empty."

"""Local work comes first, and an allocation ends: the nodes are free in time and no work of the federation is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import LONG, Batch

from fallow.queue.records import JobRecord, JobState
from fallow_testbed import slurm
from fallow_testbed.wait import wait_until


@dataclass
class Seen:
    """What became of one centre's pilot and its job.

    Args:
        freed_s: Seconds until the node was free.
        pilot: The pilot's row, once it had ended.
        between: The job as the queue had it right after.
        after: The job at its end.
    """

    freed_s: float
    pilot: dict[str, object]
    between: JobRecord
    after: JobRecord


def running_job(site: Site, submit: Callable[..., Batch]) -> tuple[Batch, dict[str, object]]:
    """A job that computes at this centre, and the pilot that runs it."""
    site.wait_for_pilots()
    batch = submit({"long": LONG}, centre=site.name)
    batch.wait_running()
    # A job that a pilot refuses, as it is about to leave, runs for a moment in the queue alone.
    wait_until(lambda: computes(site), f"a payload at {site.name}", 120, pause_s=0.2)
    (job,) = batch.records().values()
    (pilot,) = (row for row in site.pilots() if row["pilot"] == job.pilot)
    return batch, pilot


def computes(site: Site) -> bool:
    """Whether a payload that does what `LONG` does is among the processes of the centre's nodes."""
    nodes = site.layout.nodes(site.name)
    return any(node.run(["pgrep", "-f", "^sleep 600$"], check=False).returncode == 0 for node in nodes)


def ended(site: Site, pilot: dict[str, object]) -> dict[str, object]:
    """The pilot's row once its outcome has arrived."""

    def look() -> dict[str, object]:
        return next(row for row in site.pilots() if row["pilot"] == pilot["pilot"])

    wait_until(lambda: look()["code"] is not None, f"the outcome of {pilot['pilot']}", 60, pause_s=0.5)
    return look()


def preempted(site: Site, submit: Callable[..., Batch]) -> Seen:
    """A local user asks for the whole node on which a pilot runs a job."""
    batch, pilot = running_job(site, submit)
    cores = site.layout.spec.centres[site.name].cores
    asked = time.monotonic()
    native_id = site.local(f"--nodelist={pilot['node']}", f"--ntasks={cores}")
    try:
        wait_until(lambda: site.state_of(native_id) == "RUNNING", f"local job {native_id}", 120)
        freed_s = time.monotonic() - asked
        between = batch.records()["long"]
        row = ended(site, pilot)
    finally:
        site.login.run(["scancel", native_id])
    return Seen(freed_s, row, between, batch.wait_done()["long"])


def out_of_time(site: Site, submit: Callable[..., Batch]) -> Seen:
    """Slurm ends a pilot's allocation while it runs a job."""
    batch, pilot = running_job(site, submit)
    native_id = str(pilot["native_id"])
    # Minutes are Slurm's unit: the allocation ends within one.
    site.login.run(["scontrol", "update", f"JobId={native_id}", "TimeLimit=1"])
    asked = time.monotonic()
    wait_until(lambda: native_id not in site.batch_jobs(), f"the end of job {native_id}", 150, pause_s=0.2)
    freed_s = time.monotonic() - asked
    between = batch.records()["long"]
    return Seen(freed_s, ended(site, pilot), between, batch.wait_done()["long"])


@pytest.fixture(scope="module")
def seen(site: Callable[[str], Site], submit: Callable[..., Batch]) -> dict[str, Seen]:
    """A preemption at `birch` and the end of an allocation at `cedar`, side by side."""
    with ThreadPoolExecutor() as pool:
        first = pool.submit(preempted, site("birch"), submit)
        second = pool.submit(out_of_time, site("cedar"), submit)
        found = {"preempted": first.result(), "out of time": second.result()}
    print(f"a local job had its node after {found['preempted'].freed_s:.1f} s")
    return found


BOTH = pytest.mark.parametrize("how", ["preempted", "out of time"])


def test_a_local_job_gets_its_node_within_the_grace_time(seen: dict[str, Seen]) -> None:
    assert seen["preempted"].freed_s < slurm.PREEMPTION_GRACE_S + slurm.KILL_WAIT_S


@BOTH
def test_the_job_is_back_in_the_queue_when_the_node_is_free(seen: dict[str, Seen], how: str) -> None:
    assert seen[how].between.state in {JobState.WAITING, JobState.RUNNING}
    assert seen[how].between.hold_code is None


@BOTH
def test_the_same_job_ends_well_and_no_retry_is_spent(seen: dict[str, Seen], how: str) -> None:
    job = seen[how].after
    assert (job.exit_code, job.hold_code) == (0, None)
    assert job.starts >= 2


@BOTH
def test_a_pilot_that_lost_its_allocation_says_so(seen: dict[str, Seen], how: str) -> None:
    pilot = seen[how].pilot
    assert (pilot["state"], pilot["wish"]) == ("ended", None)
    assert str(pilot["code"])[0] in "12", pilot["reason"]

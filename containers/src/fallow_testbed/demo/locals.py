"""The centres' own users: real Slurm jobs that hold part of each machine, and one that takes a pilot's place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fallow_testbed import hub, slurm
from fallow_testbed.layout import Layout
from fallow_testbed.wait import wait_until

ACCOUNT = "local"


@dataclass(frozen=True)
class Preemption:
    """A federation's job that lost its slot to a local one.

    Args:
        job: The job's id in the queue.
        name: What a person calls it.
        centre: Where it lost its slot.
        node: The compute node.
    """

    job: str
    name: str
    centre: str
    node: str


def occupy(layout: Layout, centre: str, cores: int) -> str:
    """Submit a job of the centre's own user that holds `cores` cores; returns its native id."""
    return _submit(layout, centre, [f"--ntasks={cores}", "--wrap=sleep 600"])


def take_back_first(layout: Layout, rule: str, deadline_s: float) -> Preemption:
    """Wait until a job of `rule` runs, then let a local user ask for all of its node that is not local already.

    Returns as soon as Slurm has ended the pilot.

    Raises:
        NotAvailableError: No such job ran in time.
    """
    found: list[Preemption] = []

    def runs() -> bool:
        found.extend(job for job in running(layout) if job.name.startswith(rule))
        return bool(found)

    wait_until(runs, f"a job of rule {rule}", deadline_s, pause_s=0.2)
    victim = found[0]
    login = layout.login(victim.centre)
    held = login.run(["squeue", "-h", "-w", victim.node, "-p", "main", "-t", "R", "-o", "%C"]).stdout.split()
    rest = layout.spec.centres[victim.centre].cores - sum(map(int, held))
    options = [f"--nodelist={victim.node}", "--nodes=1", f"--ntasks={rest}", "--wrap=sleep 20"]
    native_id = _submit(layout, victim.centre, options)

    def started() -> bool:
        return (
            login.run(["squeue", "-h", "-j", native_id, "-o", "%T"], check=False).stdout.strip() == "RUNNING"
        )

    wait_until(started, f"local job {native_id} at {victim.centre}", slurm.PREEMPTION_GRACE_S + 60)
    return victim


def running(layout: Layout) -> Iterator[Preemption]:
    """The federation's jobs that have been computing for some seconds, and their nodes, as the hub sees them."""
    asked = [
        "condor_q",
        "-name",
        hub.QUEUE,
        "-allusers",
        "-run",
        "-constraint",
        "time() - JobCurrentStartExecutingDate > 3",
        "-af:t",
        "ClusterId",
        "ProcId",
        "FallowName",
        "RemoteHost",
    ]
    said = layout.hub().run(asked, user=hub.ACCOUNT, env=hub.CONDOR_ENVIRONMENT).stdout
    for line in said.splitlines():
        cluster, proc, name, remote = line.split("\t")
        node = remote.rpartition("@")[2].partition(".")[0]
        yield Preemption(f"{cluster}.{proc}", name, layout.spec.centre_of(node), node)


def _submit(layout: Layout, centre: str, options: list[str]) -> str:
    argv = ["sbatch", "--parsable", "--partition=main", "--output=/dev/null", "--chdir=/tmp", *options]
    return layout.login(centre).run(argv, user=ACCOUNT).stdout.strip().partition(";")[0]

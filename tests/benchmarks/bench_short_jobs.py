"""No-op container jobs through Fallow and what its users would take instead, on the same cores of one machine.

Usage: python -m tests.benchmarks.bench_short_jobs [--rounds N] [--jobs N] [--chain N] [--only NAME …]

Every system has eight slots on a node of a testbed and starts the same image: Fallow through its hub and a pilot, HTCondor
and Slurm as a centre's batch system, HyperQueue, Parsl and Dask with their workers on the node. `HTCondor` is its container
universe, and what a job writes is transferred back, as from Fallow; `HTCondor, plain` has Apptainer as its program and
nothing is transferred: the centre's hosts share a file system. In each of five rounds every system runs 200 jobs at once
(jobs per second, from the first call until the last result is known), so that each has run 1,000; in the first round also a
chain of jobs of which each waits for the one before. They take turns, idle in between.
Goals: Fallow's rate at least 95 % of HTCondor's and 25 jobs/s; one job of a chain p50 below 0.5 s, p95 below 1.5 s.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.outcome import around, conditions, spread, tell
from tests.benchmarks.short_jobs.batch_systems import HTCondor, Slurm
from tests.benchmarks.short_jobs.federated import Fallow
from tests.benchmarks.short_jobs.system import CONTAINER, IMAGE, Place, System
from tests.benchmarks.short_jobs.task_servers import TaskServer
from tests.integration.conftest import inside, published
from tests.integration.pilots.sites import Site

from fallow_testbed import people
from fallow_testbed.images import ensure_sif, testbed_layers
from fallow_testbed.layout import Layout
from fallow_testbed.progress import Progress
from fallow_testbed.testbed import Testbed

DECLARATION = Path(__file__).parent / "short_jobs" / "federation.toml"
PERSON, ACCOUNT = "alice", "local"
STARTS = 20
DIRECTORY = "/tmp/unpacked-job"
"""The image as a directory, on the node."""
TITLE = "No-op container jobs on eight slots"
HTCONDOR = "HTCondor"


def place(bed: Testbed, layout: Layout, centre: str) -> Place:
    """A centre with one node."""
    cores = layout.spec.centres[centre].cores
    return Place(bed.host(centre), bed.host(f"{centre}-1"), layout.home(centre), cores, ACCOUNT)


def systems(bed: Testbed, layout: Layout, digest: str, directory: Path) -> list[System]:
    """All that are compared."""
    spare, pool = place(bed, layout, "alder"), place(bed, layout, "birch")
    return [
        Fallow(spare, "Fallow", directory, Site("alder", layout), digest, PERSON),
        HTCondor(pool, transferred=True, name=HTCONDOR),
        HTCondor(pool, transferred=False, name="HTCondor, plain"),
        Slurm(spare),
        *(TaskServer(spare, name, directory) for name in ("HyperQueue", "Parsl", "Dask")),
    ]


def bare_starts(where: Place) -> dict[str, list[float]]:
    """How long the container alone takes, by nothing but a process that waits for it; seconds.

    From the file, as all start it that know nothing of images, and from a directory, as Fallow does after the first jobs.
    """
    script = (
        "import subprocess, sys, time\n"
        f"for _ in range({STARTS + 1}):\n"
        "    begun = time.monotonic(); subprocess.run(sys.argv[1:], check=True); print(time.monotonic() - begun)\n"
    )
    where.node.run(["apptainer", "-s", "build", "--sandbox", DIRECTORY, IMAGE], user=where.account)
    found = {}
    for what, image in (("mounted", IMAGE), ("unpacked", DIRECTORY)):
        argv = ["/usr/bin/python3", "-c", script, *CONTAINER[:-1], image, "true"]
        done = where.node.run(argv, user=where.account)
        found[what] = [float(line) for line in done.stdout.split()][1:]
    where.node.run(["rm", "-rf", DIRECTORY])
    return found


def measure(compared: Sequence[System], rounds: int, jobs: int, chain: int) -> dict[str, Any]:
    """Rates in jobs per second and latencies in seconds, by system."""
    found: dict[str, Any] = {system.name: {"rates": [], "latencies": []} for system in compared}
    for number in range(rounds):
        for system in compared:
            begun = time.monotonic()
            try:
                system.start()
                found[system.name]["rates"].append(jobs / system.batch(jobs))
                if number == 0:
                    found[system.name]["latencies"] += [system.batch(1) for _ in range(chain)]
            finally:
                system.stop()
            print(
                f"round {number + 1}: {system.name}, {time.monotonic() - begun:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    return found


def table(figures: dict[str, Any]) -> list[dict[str, str]]:
    """What people look at."""
    found = figures["systems"]
    bare = found[HTCONDOR]["rates"] if HTCONDOR in found else None
    rows = []
    for name, each in found.items():
        rate, wait = spread(each["rates"]), spread(each["latencies"])
        beside = [mine / other for mine, other in zip(each["rates"], bare, strict=True)] if bare else []
        rows.append(
            {
                "system": name,
                "jobs/s": around(rate, ".1f"),
                "beside HTCondor": f"{median(beside):.2f}" if beside else "",
                "one job p50": f"{wait['median']:.2f} s",
                "p95": f"{wait['p95']:.2f} s",
            }
        )
    for what, times in figures["container_s"].items():
        alone = spread(times)
        shown = {"one job p50": f"{alone['median']:.3f} s", "p95": f"{alone['p95']:.3f} s"}
        rows.append({"system": f"the container alone, {what}", "jobs/s": "", "beside HTCondor": "", **shown})
    return rows


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description="No-op container jobs through six systems.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=200, help="how many at once")
    parser.add_argument("--chain", type=int, default=20, help="how many one after another")
    parser.add_argument("--only", nargs="*", help="these systems only")
    asked = parser.parse_args()
    about = conditions()
    packed = ensure_sif("analysis")
    with tempfile.TemporaryDirectory() as folder:
        bed = Testbed(Path(folder) / "short")
        layout = bed.up(DECLARATION, testbed_layers(), Progress())
        try:
            digest = f"sha256:{packed.sha256}"
            inside(bed.host("desk"), people.environment(layout, PERSON), published, packed.sif, digest)
            for centre in layout.spec.centres:
                shutil.copy(packed.sif, layout.home(centre) / "job.sif")
            compared = systems(bed, layout, digest, Path(folder))
            compared[0].stop()
            starts = bare_starts(place(bed, layout, "alder"))
            wanted = [system for system in compared if not asked.only or system.name in asked.only]
            found = measure(wanted, asked.rounds, asked.jobs, asked.chain)
        finally:
            bed.down()
    figures = {"jobs": asked.jobs, "systems": found, "container_s": starts}
    tell("short_jobs", TITLE, about, figures, table)


if __name__ == "__main__":
    main()

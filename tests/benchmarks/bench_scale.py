"""How a hub grows: negotiation, the matcher's cycle, the gateway and memory by the number of slots and of waiting jobs.

Usage: python -m tests.benchmarks.bench_scale [--slots N …] [--queue N …] [--work N]

First with real daemons: 16 pilots that say that they have 64 cores each, 1,024 slots on a machine of two cores, run no-op
container jobs. Then they go, and the slot of one of them is advertised as often as told: negotiator, matcher and gateway do
the same work for it as for a real one. 1,000 jobs in ten groups wait that none of the slots can take, so that each is held
against all. In a second federation more and more jobs wait beside 100 slots; they come in runs of 100,000 at most, as fast
as the client submits them. Negotiation is the CPU time of one cycle of it; this, the matcher's cycle and the gateway's rates
are medians of five. Growth is the exponent of the size, fitted through all points of the column.
"""

from __future__ import annotations

import argparse
import math
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.outcome import conditions, markdown, tell
from tests.benchmarks.scale.points import HubAtWork, exponents
from tests.benchmarks.short_jobs.federated import Fallow
from tests.benchmarks.short_jobs.system import Place
from tests.integration.conftest import inside, published
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import removed, status_of, submitted

from fallow_testbed import people
from fallow_testbed.images import ensure_sif, testbed_layers
from fallow_testbed.layout import Layout
from fallow_testbed.progress import Progress
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

DECLARATION = Path(__file__).with_name("scale.toml")
TITLE = "A hub by slots and waiting jobs"
CENTRE, PERSON = "alder", "alice"
FEW_JOBS, GROUPS, FEW_SLOTS, SHADOWS = 1_000, 10, 100, 48
PILOT_CORES, JOB_S, UPDATE_S, CYCLE_S, MACHINE_MB, CONNECTIONS = 64, 3600, 120, 20, 128 * 1024, 10_240
"""The federation of the arithmetic: see docs/explanation/scale.md. HTCondor gives a collector 10,240 open files."""
RUN_JOBS = 100_000
"""As many jobs as are submitted at once."""
LARGE_MB = 10_000_000
"""More memory than any slot has."""
GROWTH = (
    "negotiation_cpu_s",
    "matcher_s",
    "collector_mb",
    "negotiator_mb",
    "schedd_mb",
    "gateway_mb",
    "matcher_mb",
)
COLUMNS = {
    "slots": "{:,}",
    "jobs": "{:,}",
    "negotiation_cpu_s": "{:.3f} s",
    "matcher_s": "{:.2f} s",
    "offers_per_s": "{:.0f}",
    "tokens_per_s": "{:.0f}",
    "updates_per_s": "{:.0f}",
    "submits_per_s": "{:.0f}",
    "collector_mb": "{:.0f} MB",
    "negotiator_mb": "{:.0f} MB",
    "schedd_mb": "{:.0f} MB",
    "gateway_mb": "{:.0f} MB",
    "matcher_mb": "{:.0f} MB",
}


def emulated(hub: HubAtWork, bed: Testbed, directory: Path, jobs: int) -> dict[str, float]:
    """The rate of no-op jobs on pilots that say that they are large, and the memory of a shadow."""
    layout, site = hub.layout, Site(CENTRE, hub.layout)
    declared = layout.spec.centres[CENTRE].pilots
    place = Place(bed.host(CENTRE), bed.host(f"{CENTRE}-1"), layout.home(CENTRE), 8, "local")
    packed = ensure_sif("analysis")
    digest = f"sha256:{packed.sha256}"
    inside(layout.desk(), people.environment(layout, PERSON), published, packed.sif, digest)
    system = Fallow(place, "Fallow", directory, site, digest, PERSON)
    try:
        system.start()
        site.wait_for_pilots(declared.max_pilots)
        taken_s = system.batch(jobs)
        shadow_mb = while_running(hub, digest)
    finally:
        system.stop()
    pilots = declared.max_pilots
    return {
        "pilots": pilots,
        "slots": pilots * declared.cores,
        "jobs": jobs,
        "jobs_per_s": jobs / taken_s,
        "shadow_mb": shadow_mb,
    }


def while_running(hub: HubAtWork, digest: str) -> float:
    """The memory of a shadow while some jobs run; in MB."""
    run = f"shadows-{secrets.token_hex(4)}"

    def at(function: Callable[..., Any], *arguments: Any) -> Any:
        return inside(hub.layout.desk(), people.environment(hub.layout, PERSON), function, *arguments)

    job = {"image": digest, "argv": ("sleep", "600"), "name": "job"}
    at(submitted, run, [{**job, "key": str(number)} for number in range(SHADOWS)])
    wait_until(lambda: all(job.started for job in at(status_of, run).values()), "running jobs", 180, 1)
    held_mb = hub.shadow_mb()
    at(removed, run)
    return held_mb


def wait_in_queue(layout: Layout, count: int) -> None:
    """Have so many jobs more wait that no slot can take."""
    job = {"image": f"sha256:{'0' * 64}", "argv": ("true",), "name": "job"}
    for first in range(0, count, RUN_JOBS):
        run = f"scale-{secrets.token_hex(4)}"
        numbers = range(first, min(first + RUN_JOBS, count))
        specs = [{**job, "key": str(n), "memory_mb": LARGE_MB + 128 * (n % GROUPS)} for n in numbers]
        inside(layout.desk(), people.environment(layout, PERSON), submitted, run, specs)


def point(hub: HubAtWork, slots: int, jobs: int) -> dict[str, Any]:
    """What is looked at, with so many slots, while so many jobs wait."""
    taken_s = float(hub.ask("slots", CENTRE, str(slots)))
    found = hub.point(slots, jobs)
    print(f"{slots} slots, {jobs} jobs", file=sys.stderr, flush=True)
    return {**found, "updates_per_s": slots / taken_s}


def by_jobs(hub: HubAtWork, queue: list[int]) -> Iterator[dict[str, Any]]:
    """A point for each number of waiting jobs."""
    waiting = 0
    for jobs in queue:
        begun = time.monotonic()
        wait_in_queue(hub.layout, jobs - waiting)
        submit_s = time.monotonic() - begun
        yield {**point(hub, FEW_SLOTS, jobs), "submits_per_s": (jobs - waiting) / submit_s}
        waiting = jobs


def by_slots(hub: HubAtWork, slots: list[int]) -> Iterator[dict[str, Any]]:
    """A point for each number of slots."""
    wait_in_queue(hub.layout, FEW_JOBS)
    for count in slots:
        yield point(hub, count, FEW_JOBS)


@contextmanager
def at_work(directory: Path) -> Iterator[tuple[Testbed, HubAtWork]]:
    """A new federation; the ad of one of its slots is kept, and no pilot is left."""
    bed = Testbed(directory)
    layout = bed.up(DECLARATION, testbed_layers(), Progress())
    try:
        hub = HubAtWork(layout, PERSON)
        hub.bring()
        hub.hurry()
        hub.record(CENTRE)
        Site(CENTRE, layout).fallow("withdraw", "--now")
        yield bed, hub
    finally:
        bed.down()


def table(figures: dict[str, Any]) -> list[dict[str, str]]:
    """What people look at."""
    rows = []
    for series, axis in (("by_slots", "slots"), ("by_jobs", "jobs")):
        points = figures[series]
        rows += [
            {name: form.format(point[name]) if name in point else "" for name, form in COLUMNS.items()}
            for point in points
        ]
        if len(points) > 1:
            grown = exponents(points, axis, GROWTH)
            exponent = {name: f"{grown[name]:.2f}" if name in grown else "" for name in COLUMNS}
            rows.append({**exponent, axis: f"growth by {axis}"})
    real = figures["emulated"]
    ran = f"{real['jobs_per_s']:.1f} jobs/s through {real['pilots']:.0f} real pilots"
    rows.append({**dict.fromkeys(COLUMNS, ""), "slots": f"{real['slots']:,.0f}", "jobs": ran})
    return [{name.replace("_", " "): cell for name, cell in row.items()} for row in rows]


def more(figures: dict[str, Any]) -> Iterator[str]:
    """How many of each part a federation needs, by its cores; see docs/explanation/scale.md."""
    largest, smallest, real = figures["by_slots"][-1], figures["by_slots"][0], figures["emulated"]
    comparison_s = (largest["negotiation_cpu_s"] - largest["reading_cpu_s"]) / largest["slots"] / GROUPS
    reading_s = largest["reading_cpu_s"] / largest["slots"]
    slot_mb = (largest["collector_mb"] - smallest["collector_mb"]) / (largest["slots"] - smallest["slots"])
    yield (
        f"\nOne slot held against one group costs the negotiator {comparison_s * 1e6:.0f} µs, reading one slot"
        f" {reading_s * 1e6:.0f} µs; the collector takes {largest['updates_per_s']:.0f} ads in a second and holds one in"
        f" {slot_mb * 1024:.0f} kB; a shadow takes {real['shadow_mb']:.1f} MB; one schedd starts"
        f" {real['jobs_per_s']:.0f} jobs in a second at least.\n\n"
    )
    rows = []
    for power in range(3, 7):
        cores = 10**power
        pilots, ads = cores / PILOT_CORES, cores + cores / PILOT_CORES
        starts, cycle_s = cores / JOB_S, pilots * GROUPS * comparison_s + ads * reading_s
        by_starts, by_memory = starts / real["jobs_per_s"], cores * real["shadow_mb"] / MACHINE_MB
        by_updates, by_connections = 2 * ads / UPDATE_S / largest["updates_per_s"], ads / CONNECTIONS
        rows.append(
            {
                "cores": f"{cores:,}",
                "starts": f"{starts:.1f}/s",
                "schedds by starts": f"{math.ceil(by_starts)}",
                "by shadows": f"{math.ceil(by_memory)}",
                "a cycle of one negotiator": f"{cycle_s:.1f} s",
                "negotiators": f"{math.ceil(cycle_s / CYCLE_S)}",
                "collectors by updates": f"{math.ceil(by_updates)}",
                "by connections": f"{math.ceil(by_connections)}",
                "ads": f"{ads * slot_mb / 1024:.1f} GB",
            }
        )
    yield from markdown(rows)


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description="A hub by slots and waiting jobs.")
    parser.add_argument("--slots", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--queue", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--work", type=int, default=300, help="no-op jobs through the real pilots")
    asked = parser.parse_args()
    about = conditions()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        with at_work(Path(folder) / "slots") as (bed, hub):
            figures["emulated"] = emulated(hub, bed, Path(folder), asked.work)
            figures["by_slots"] = list(by_slots(hub, asked.slots))
        with at_work(Path(folder) / "jobs") as (_, hub):
            figures["by_jobs"] = list(by_jobs(hub, asked.queue))
    tell("scale", TITLE, about, figures, table)


if __name__ == "__main__":
    main()

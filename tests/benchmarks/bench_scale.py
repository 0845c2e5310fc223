"""How a hub grows: negotiation, the matcher's cycle, the gateway and memory by the number of slots and of waiting jobs.

Usage: python -m tests.benchmarks.bench_scale [--slots N …] [--queue N …] [--work N]

First with real daemons: 16 pilots that say that they have 64 cores each, 1,024 slots on a machine of two cores, run no-op
container jobs. Then they go, and the slot of one of them is advertised as often as told: negotiator, matcher and gateway do
the same work for it as for a real one. 1,000 jobs in ten groups wait that none of the slots can take, so that each is held
against all; then more jobs wait beside 100 slots. Negotiation is the CPU time of one cycle of it, a median of three;
the matcher's cycle a median of five. Growth is the exponent of the size, fitted through all points of the column.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.outcome import conditions, tell
from tests.benchmarks.scale.points import HubAtWork, exponents
from tests.benchmarks.short_jobs.federated import Fallow
from tests.benchmarks.short_jobs.system import Place
from tests.integration.conftest import inside, published
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import removed, submitted

from fallow_testbed import people
from fallow_testbed.images import ensure_sif, testbed_layers
from fallow_testbed.layout import Layout
from fallow_testbed.progress import Progress
from fallow_testbed.testbed import Testbed

DECLARATION = Path(__file__).with_name("scale.toml")
TITLE = "A hub by slots and waiting jobs"
CENTRE, PERSON = "alder", "alice"
FEW_JOBS, GROUPS, FEW_SLOTS = 1_000, 10, 100
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
    "collector_mb": "{:.0f} MB",
    "negotiator_mb": "{:.0f} MB",
    "schedd_mb": "{:.0f} MB",
    "gateway_mb": "{:.0f} MB",
    "matcher_mb": "{:.0f} MB",
}


def emulated(layout: Layout, bed: Testbed, directory: Path, jobs: int) -> dict[str, float]:
    """The rate of no-op jobs on pilots that say that they are large."""
    site = Site(CENTRE, layout)
    declared = layout.spec.centres[CENTRE].pilots
    site.wait_for_pilots(declared.max_pilots)
    place = Place(bed.host(CENTRE), bed.host(f"{CENTRE}-1"), layout.home(CENTRE), 8, "local")
    packed = ensure_sif("analysis")
    digest = f"sha256:{packed.sha256}"
    inside(layout.desk(), people.environment(layout, PERSON), published, packed.sif, digest)
    system = Fallow(place, "Fallow", directory, site, digest, PERSON)
    try:
        system.start()
        taken_s = system.batch(jobs)
    finally:
        system.stop()
    pilots = declared.max_pilots
    return {"pilots": pilots, "slots": pilots * declared.cores, "jobs": jobs, "jobs_per_s": jobs / taken_s}


def wait_in_queue(layout: Layout, count: int) -> str:
    """Have so many jobs wait that no slot can take; their run."""
    run = f"scale-{secrets.token_hex(4)}"
    job = {"image": f"sha256:{'0' * 64}", "argv": ("true",), "name": "job"}
    specs = [{**job, "key": str(n), "memory_mb": LARGE_MB + 128 * (n % GROUPS)} for n in range(count)]
    inside(layout.desk(), people.environment(layout, PERSON), submitted, run, specs)
    return run


def measure(hub: HubAtWork, slots: list[int], queue: list[int]) -> dict[str, list[dict[str, Any]]]:
    """A point for each number of slots, and one for each number of waiting jobs."""
    found: dict[str, list[dict[str, Any]]] = {"by_jobs": [], "by_slots": []}

    def point(series: str, slots: int, jobs: int) -> None:
        hub.ask("slots", CENTRE, str(slots))
        found[series].append(hub.point(slots, jobs))
        print(f"{slots} slots, {jobs} jobs", file=sys.stderr, flush=True)

    runs: list[str] = []
    waiting = 0
    for jobs in queue:
        runs.append(wait_in_queue(hub.layout, jobs - waiting))
        waiting = jobs
        point("by_jobs", FEW_SLOTS, jobs)
    for run in runs:
        inside(hub.layout.desk(), people.environment(hub.layout, PERSON), removed, run)
    wait_in_queue(hub.layout, FEW_JOBS)
    for count in slots:
        point("by_slots", count, FEW_JOBS)
    return found


def table(figures: dict[str, Any]) -> list[dict[str, str]]:
    """What people look at."""
    rows = []
    for series, axis in (("by_slots", "slots"), ("by_jobs", "jobs")):
        points = figures[series]
        rows += [{name: form.format(point[name]) for name, form in COLUMNS.items()} for point in points]
        if len(points) > 1:
            grown = exponents(points, axis, GROWTH)
            exponent = {name: f"{grown[name]:.2f}" if name in grown else "" for name in COLUMNS}
            rows.append({**exponent, axis: f"growth by {axis}"})
    real = figures["emulated"]
    ran = f"{real['jobs_per_s']:.1f} jobs/s through {real['pilots']:.0f} real pilots"
    rows.append({**dict.fromkeys(COLUMNS, ""), "slots": f"{real['slots']:,.0f}", "jobs": ran})
    return [{name.replace("_", " "): cell for name, cell in row.items()} for row in rows]


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description="A hub by slots and waiting jobs.")
    parser.add_argument("--slots", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--queue", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--work", type=int, default=300, help="no-op jobs through the real pilots")
    asked = parser.parse_args()
    about = conditions()
    with tempfile.TemporaryDirectory() as folder:
        bed = Testbed(Path(folder) / "scale")
        layout = bed.up(DECLARATION, testbed_layers(), Progress())
        try:
            hub = HubAtWork(layout, PERSON)
            hub.install()
            hub.record(CENTRE)
            figures: dict[str, Any] = {"emulated": emulated(layout, bed, Path(folder), asked.work)}
            figures.update(measure(hub, asked.slots, asked.queue))
        finally:
            bed.down()
    tell("scale", TITLE, about, figures, table)


if __name__ == "__main__":
    main()

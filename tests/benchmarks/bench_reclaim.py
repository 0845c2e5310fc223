"""How soon an idle node works for the federation, and how soon its owner has it back.

Usage: python -m tests.benchmarks.bench_reclaim [--rounds N]

One centre with one node of two cores, a pilot that takes the whole of it, and jobs that always wait. In each of five rounds:
a local job is submitted, and Slurm starts it in the pilot's place (it gives a preempted job 15 s of grace, of which a pilot
takes what it needs); the local job ends, and a federation's job runs there; `withdraw --now` is called, and it returns when
Slurm says that the node is free; `resume`, and a federation's job runs again. A job runs when its program is among the
processes of the node.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.outcome import conditions, spread, tell
from tests.integration.conftest import inside, published
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import submitted

from fallow_testbed import people
from fallow_testbed.host import Host
from fallow_testbed.images import ensure_sif, testbed_layers
from fallow_testbed.layout import Layout
from fallow_testbed.progress import Progress
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

DECLARATION = Path(__file__).parent / "reclaim.toml"
CENTRE, CORES, JOBS = "alder", 2, 200
TITLE = "Idle node to job and back"
LIMIT_S, LOOK_S = 300, 0.02
MARK = "fallow-benchmark-payload"
WHAT = {
    "local_job": "a local job starts in a pilot's place",
    "after_local_job": "its end: a federation's job runs",
    "withdraw": "withdraw --now returns, the node is free",
    "after_resume": "resume: a federation's job runs",
}


def timed(act: Callable[[], object], holds: Callable[[], bool], what: str) -> float:
    """Seconds from an act until something holds."""
    begun = time.monotonic()
    act()
    wait_until(holds, what, LIMIT_S, pause_s=LOOK_S)
    return time.monotonic() - begun


def payload_runs(node: Host) -> bool:
    """Whether a federation's job computes on the node: its program is among the node's processes."""
    return node.run(["pgrep", "-f", f"^/bin/sh -c : {MARK}"], check=False).returncode == 0


def measure(site: Site, node: Host, rounds: int) -> dict[str, list[float]]:
    """All seconds by what they are."""
    found: dict[str, list[float]] = {name: [] for name in WHAT}

    def computes() -> bool:
        return payload_runs(node)

    wait_until(computes, "the first job", LIMIT_S)
    local: list[str] = []
    for number in range(rounds):
        found["local_job"].append(
            timed(
                lambda: local.append(site.local(f"--ntasks={CORES}")),
                lambda: site.state_of(local[-1]) == "RUNNING",
                "the local job",
            )
        )
        found["after_local_job"].append(
            timed(
                lambda: site.login.run(["scancel", local[-1]], user="local"),
                computes,
                "a job after the local one",
            )
        )
        found["withdraw"].append(
            timed(
                lambda: site.fallow("withdraw", "--now"),
                lambda: not site.batch_jobs(),
                "the end of the pilots",
            )
        )
        found["after_resume"].append(
            timed(lambda: site.fallow("resume"), computes, "a job after the withdrawal")
        )
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return found


def prepare(bed: Testbed, layout: Layout) -> None:
    """Have jobs wait, more than the rounds take."""
    packed = ensure_sif("analysis")
    digest = f"sha256:{packed.sha256}"

    def at(function: Callable[..., Any], *arguments: Any) -> None:
        inside(bed.host("desk"), people.environment(layout, "alice"), function, *arguments)

    at(published, packed.sif, digest)
    script = f": {MARK}; sleep 3600"
    job = {"image": digest, "argv": ("/bin/sh", "-c", script), "walltime_s": 3600}
    at(
        submitted,
        f"reclaim-{secrets.token_hex(4)}",
        [{**job, "key": str(n), "name": "job"} for n in range(JOBS)],
    )


def table(figures: dict[str, Any]) -> list[dict[str, str]]:
    """What people look at."""
    rows = []
    for name, what in WHAT.items():
        seen = spread(figures[name])
        p50, p95, least, most = (f"{seen[each]:.1f} s" for each in ("median", "p95", "least", "most"))
        rows.append({"what": what, "p50": p50, "p95": p95, "least": least, "most": most})
    return rows


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description="From idle node to job, and from job to idle node.")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    about = conditions()
    with tempfile.TemporaryDirectory() as folder:
        bed = Testbed(Path(folder) / "reclaim")
        layout = bed.up(DECLARATION, testbed_layers(), Progress())
        try:
            prepare(bed, layout)
            found = measure(Site(CENTRE, layout), bed.host(f"{CENTRE}-1"), asked.rounds)
        finally:
            bed.down()
    tell("reclaim", TITLE, about, found, table)


if __name__ == "__main__":
    main()

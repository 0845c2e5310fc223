"""No-op container jobs at centres by how nodes reach the hub: themselves, by a relay, by files, by proxy, by relay and ssh.

Usage: python -m tests.benchmarks.bench_profiles [--rounds N] [--jobs N] [--chain N] [--megabytes N]

Each centre has one node with eight slots on the same cores of one machine and gives them to a user of its own; they take
turns, idle in between. In each of three rounds, unless told otherwise: 200 jobs at once; a chain of ten jobs of which each
waits for the one before; ten that each wait five seconds more, so that nothing has moved for a while; and one job with an
input of 256 MB, from the desk.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.centres.kinds import declaration, lacks
from tests.benchmarks.centres.timed import fallow
from tests.benchmarks.outcome import around, conditions, spread, tell
from tests.benchmarks.short_jobs.federated import Fallow
from tests.benchmarks.short_jobs.system import Helper
from tests.integration.closed import federation

from fallow_testbed.images import testbed_layers

PROFILES = {
    "direct": "open",
    "relay": "no-outbound",
    "files": "shared-fs-only",
    "proxy": "proxy-only",
    "ssh": "ssh-only",
}
"""The kind of centre that shows each; `ssh` is a relay whose host is led out by `fallow pilot attach`."""
EACH = {
    "cores": 8,
    "pilots.max_pilots": 1,
    "pilots.cores": 8,
    "pilots.memory_mb": 4096,
    "pilots.idle_exit_s": 3600,
}
QUIET_S = 5
TITLE = "No-op container jobs on eight slots, by what nodes reach"


def measure(system: Fallow, large: Fallow, jobs: int, chain: int) -> dict[str, list[float]]:
    """Jobs per second, and seconds of single jobs."""

    def quiet() -> float:
        time.sleep(QUIET_S)
        return system.batch(1)

    helper = Helper.of(large.command(), large.directory / "large.log")
    try:
        system.start()
        return {
            "rates": [jobs / system.batch(jobs)],
            "chain_s": [system.batch(1) for _ in range(chain)],
            "quiet_s": [quiet() for _ in range(chain)],
            "large_s": [helper.ask(1)],
        }
    finally:
        system.stop()
        helper.end()


def table(figures: dict[str, Any]) -> list[dict[str, str]]:
    """What people look at."""
    rows = []
    for profile, found in figures["profiles"].items():
        rate = spread(found["rates"])
        row = {
            "profile": profile,
            "jobs/s": around(rate, ".1f"),
        }
        for what, name in (("one job", "chain_s"), (f"after {QUIET_S} s of quiet", "quiet_s")):
            wait = spread(found[name])
            row[what] = f"{wait['median']:.2f} s (p95 {wait['p95']:.2f} s)"
        row[f"with {figures['megabytes']} MB"] = f"{spread(found['large_s'])['median']:.2f} s"
        rows.append(row)
    return rows


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description="No-op container jobs by what nodes reach.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=200, help="how many at once")
    parser.add_argument("--chain", type=int, default=10, help="how many one after another")
    parser.add_argument("--megabytes", type=int, default=256, help="the large input")
    asked = parser.parse_args()
    about = conditions()
    found: dict[str, dict[str, list[float]]] = {}
    declared = {profile: {**EACH, **lacks(kind)} for profile, kind in PROFILES.items()}
    persons = {f"{profile}er": profile for profile in PROFILES}
    pairs = ((profile, person) for person, profile in persons.items())
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "large").write_bytes(os.urandom(1 << 20) * asked.megabytes)
        with federation(here, testbed_layers(), declaration(declared, persons), *pairs) as centres:
            for centre in centres:
                centre.site.fallow("withdraw", "--now")
            for _ in range(asked.rounds):
                for centre in centres:
                    system, large = fallow(centre, here), fallow(centre, here, here / "large")
                    measured = measure(system, large, asked.jobs, asked.chain)
                    print(centre.name, measured, file=sys.stderr, flush=True)
                    for name, values in measured.items():
                        found.setdefault(centre.name, {}).setdefault(name, []).extend(values)
    figures = {"jobs": asked.jobs, "megabytes": asked.megabytes, "profiles": found}
    tell("profiles", TITLE, about, figures, table)


if __name__ == "__main__":
    main()

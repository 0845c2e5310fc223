"""Many jobs at once, through Snakemake and the executor in a testbed: submitting, cancelling, polling, noticing an end.

Usage: python -m tests.benchmarks.bench_bulk [--first]

1,000 jobs of one rule that no slot takes are submitted by Snakemake with its stock settings, and Ctrl-C comes during a poll.
24 short jobs run for real: how long after its end, by the queue's clock, Snakemake is told of each. 10,000 jobs wait in the
queue: what one poll costs. Goals: 1,000 submitted in 5 s and cancelled in 10 s; an end noticed within 2 s on average. With
`--first` desk and hub go before whatever else the machine has to do, pilots included, as if they had machines of their own.
"""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.bench_startup import go_first
from tests.benchmarks.outcome import ROOT, conditions, tell

from fallow_testbed import people
from fallow_testbed.demo.run import command, wait_for_capacity
from fallow_testbed.images import ensure_sif, testbed_layers
from fallow_testbed.layout import Layout
from fallow_testbed.progress import Progress
from fallow_testbed.spec import DEFAULT
from fallow_testbed.testbed import Testbed

TITLE = "Many jobs at once, through Snakemake"
JOBS, MANY, LIMIT_S = 1_000, 10_000, 900
GOALS = {"submit_s": 5.0, "cancel_s": 10.0, "mean_s": 2.0}


def part(layout: Layout, work: Path, *arguments: str) -> dict[str, float]:
    """What one part measured at the desk."""
    work.mkdir()
    desk, env = layout.desk(), {**people.environment(layout, "alice"), "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "tests.benchmarks.bulk_desk", *arguments]
    done = desk.run(argv, env=env, directory=work, timeout_s=LIMIT_S, check=False)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        sys.exit(f"{arguments[0]}: {done.stderr[-3000:]}")
    return dict(json.loads(lines[-1]))


def measure(layout: Layout, place: Path, worker: Path) -> dict[str, dict[str, float]]:
    """All parts, one after another."""
    env = people.environment(layout, "alice")
    fallow = str(Path(sys.executable).with_name("fallow"))
    storage = json.loads(layout.desk().run([fallow, "storage", "--json"], env=env).stdout)
    folder = f"{storage['url']}/{secrets.token_hex(4)}"
    return {
        "notice": part(layout, place / "notice", "notice", *command(f"{folder}/notice", worker)[1:-2]),
        "submit": part(
            layout, place / "submit", "submit", str(JOBS), *command(f"{folder}/submit", worker)[1:-2]
        ),
        "poll": part(layout, place / "poll", "poll", str(MANY)),
    }


def table(found: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """What people look at."""
    lines = [
        (f"submit {JOBS:,} jobs", "submit", "submit_s"),
        (f"cancel {JOBS:,} jobs, during a poll", "submit", "cancel_s"),
        ("notice an end, mean", "notice", "mean_s"),
        ("notice an end, longest", "notice", "most_s"),
        (f"one poll of {MANY:,} jobs, those that ended", "poll", "poll_ended_s"),
        (f"one poll of {MANY:,} jobs, all", "poll", "poll_all_s"),
        (f"remove {MANY:,} jobs", "poll", "remove_all_s"),
    ]
    return [
        {
            "what": what,
            "seconds": f"{found[where][name]:.2f}",
            "cpu here": f"{found[where][cpu]:.2f}" if (cpu := f"{name[:-2]}_cpu_s") in found[where] else "",
            "goal": f"< {GOALS[name]:.0f} s" if name in GOALS else "",
        }
        for what, where, name in lines
    ]


def main() -> int:
    """Measure and show; 1 where a goal is missed."""
    about = conditions()
    worker = ensure_sif("worker").sif
    with tempfile.TemporaryDirectory() as place:
        bed = Testbed(Path(place) / "bulk")
        layout = bed.up(DEFAULT, testbed_layers(), Progress())
        try:
            wait_for_capacity(layout, Progress())
            if "--first" in sys.argv:
                go_first(layout.hub().directory)
            found = measure(layout, Path(place), worker)
        finally:
            bed.down()
    tell("bulk", TITLE, about, {**found, "first": "--first" in sys.argv}, table)
    measured = {name: value for part in found.values() for name, value in part.items()}
    return int(any(measured[name] > goal for name, goal in GOALS.items()))


if __name__ == "__main__":
    sys.exit(main())

"""One look and decision of the launcher at a large centre: 5,000 nodes, 20,000 waiting jobs, 500 pilots.

Usage: python tests/benchmarks/bench_launcher.py
"""

from __future__ import annotations

import resource
import tempfile
import time
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

from fallow.settings import parse
from fallow_pilots.batch import slurm_answers as slurm
from fallow_pilots.batch.model import JobStatus, Spare
from fallow_pilots.credentials import Joining
from fallow_pilots.launcher import Launcher
from fallow_pilots.layout import Layout
from fallow_pilots.policy import Policy
from fallow_pilots.store import Store

NODES, WAITING, PILOTS = 5_000, 20_000, 500


def outputs() -> tuple[str, str, str]:
    """What sinfo and squeue would print."""
    nodes = "".join(
        f"node{n:04}|{'idle' if n % 3 else 'mixed'}|{0 if n % 3 else 64}/{128 if n % 3 else 64}/0/128"
        f"|512000|0|gpu:a100:4(S:0-1)|gpu:a100:0(IDX:N/A)|up|\n"
        for n in range(NODES)
    )
    waiting = "".join(f"main|Priority|sim-{n}\n" for n in range(WAITING))
    own = "".join(
        f"{n}|RUNNING|2026-03-02T10:00:00|node{n:04}|fallow-alder-{n + 1}|None\n" for n in range(PILOTS)
    )
    return (
        f"{slurm.NODE_HEADER}\n{nodes}",
        f"{slurm.WAITING_HEADER}\n{waiting}",
        f"{slurm.JOB_HEADER}\n{own}",
    )


class Recorded:
    """A batch system that answers from recorded output."""

    programs = ()

    def __init__(self) -> None:
        self.nodes, self.waiting, self.own = outputs()

    def status(self, names: object) -> list[JobStatus]:
        """Our jobs."""
        return slurm.parse_jobs(self.own)

    def spare(self, **asked: object) -> Spare:
        """What is free."""
        return Spare(
            slurm.parse_nodes(self.nodes), slurm.parse_waiting(self.waiting, ("main",), "fallow-alder-")
        )


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        table = {
            "state_dir": folder,
            "identity": {
                "centre": "alder",
                "hub": "https://hub.example.org",
                "token_file": "/etc/fallow/token",
            },
            "pilot": {"cores": 64, "memory_mb": 100_000},
            "limits": {"max_pilots": 4000},
            "when": {"queue_below": 30_000},
        }
        policy = parse(Policy, table, source="benchmark")
        layout = Layout(policy)
        layout.make()
        store = Store(layout.store, "alder")
        now = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
        for _ in range(PILOTS):
            store.intend(now - timedelta(hours=2), 64, 0, 21600)
        launcher = Launcher(policy, Recorded(), store, Mock(), Mock(), Mock(), lambda: now)  # type: ignore[arg-type]
        for label in ("first look", "next look"):
            begun = time.perf_counter()
            view = launcher.look()
            decision = launcher.decide(view, Joining(Mock(), now + timedelta(hours=1), None))
            print(
                f"{label}: {time.perf_counter() - begun:.2f} s, {decision.launch} pilots, {decision.clause}"
            )
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak resident memory: {peak_mb:.0f} MB")


if __name__ == "__main__":
    main()

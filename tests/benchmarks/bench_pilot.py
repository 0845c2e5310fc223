"""A pilot in a long life: resident memory of its own process, without HTCondor, after 100,000 jobs.

Usage: python -m tests.benchmarks.bench_pilot

A process of its own imports what a pilot runs, follows a startd's history of 100,000 jobs as it grows, and makes the report
that goes to the hub. Goal: less than 60 MB. (On the testbed tests/integration/pilots/test_node.py looks at a pilot at work.)
"""

from __future__ import annotations

import subprocess
import sys

from tests.benchmarks.outcome import ROOT, conditions, tell
from tests.benchmarks.outcome import as_rows as table

TITLE = "A pilot after a long life"
JOBS, BATCH, GOAL_MB = 100_000, 200, 60
ENTRY = """\
ClusterId = {n}
ProcId = 0
GlobalJobId = "queue@hub#{n}.0#1795259642"
Environment = "PADDING={padding}"
ExitCode = 0
CpusProvisioned = 1
RemoteWallClockTime = 12.0
JobCurrentStartDate = 1795259643
CompletionDate = 1795259655
*** Offset = 0 ClusterId = {n} ProcId = 0 Owner = "alder.alice" CompletionDate = 1795259655 CurrentTime = 1795259655
"""


def life() -> int:
    """Live that life; the most memory in MB that this process held."""
    import tempfile
    import time
    from pathlib import Path

    from fallow_pilots.node import pilot, report
    from fallow_pilots.node.history import History
    from fallow_pilots.spec import PilotSpec

    assert pilot.__name__  # all that a pilot imports
    spec = PilotSpec(
        pilot="alder-1", centre="alder", hub="https://127.0.0.1:9", collector="127.0.0.1:9", trust_domain="t",
        token_file=Path("/nonexistent"), outcome_file=Path("/nonexistent"), cores=64, memory_mb=64_000, disk_mb=0,
        walltime_s=86_400, idle_exit_s=300, scratch_dir=Path("/tmp"), image_store_dir=Path("/nonexistent"),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "history"
        history = History(file)
        for first in range(1, JOBS + 1, BATCH):
            with file.open("a") as stream:
                stream.writelines(ENTRY.format(n=n, padding="x" * 4000) for n in range(first, first + BATCH))
            ran = history.look()
        now = time.time()
        report.report(
            spec, started=now - 9, offered=(now - 9, 64), ran=ran, idle_s=0, now=now
        ).model_dump_json()
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) >> 10


def main() -> int:
    """Measure and show; 1 where the goal is missed."""
    if sys.argv[1:] == ["life"]:
        print(life())
        return 0
    about = conditions()
    argv = [sys.executable, "-m", "tests.benchmarks.bench_pilot", "life"]
    done = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    held = int(done.stdout)
    rows = [
        {"what": f"resident memory after {JOBS:,} jobs", "value": f"{held} MB", "goal": f"< {GOAL_MB} MB"}
    ]
    tell("pilot", TITLE, about, {"rows": rows}, table)
    return 0 if held < GOAL_MB else 1


if __name__ == "__main__":
    sys.exit(main())

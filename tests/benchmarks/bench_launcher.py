"""A launcher at a large centre: 5,000 nodes, 20,000 waiting jobs, 500 pilots of its own; time of a cycle and memory.

Usage: python -m tests.benchmarks.bench_launcher

The launcher runs as a process of its own, with Slurm's commands replaced by programs that print what Slurm would, and a
hub that does not answer; waiting for that is no part of the time. Goals: less than 2 s, less than 60 MB of resident memory.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.benchmarks.outcome import ROOT, conditions, tell
from tests.benchmarks.outcome import as_rows as table

from fallow_pilots.batch import slurm_answers as answers
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.store import Store

TITLE = "A launcher at a large centre"
NODES, WAITING, PILOTS = 5_000, 20_000, 500
GOAL_S, GOAL_MB = 2.0, 60
CYCLES = 3
POLICY = """
state_dir = "{state}"
[identity]
centre = "alder"
hub = "https://127.0.0.1:9"
token_file = "{state}/none"
[pilot]
cores = 64
memory_mb = 100000
[limits]
max_pilots = 4000
share_of_idle = 0.8
core_hours_per_day = 1000000
[when]
queue_below = 30000
node_idle_s = 60
"""


def outputs() -> dict[str, str]:
    """What Slurm's commands would print."""
    nodes = "".join(
        f"node{n:04}|{'idle' if n % 3 else 'mixed'}|{0 if n % 3 else 64}/{128 if n % 3 else 64}/0/128"
        f"|512000|0|gpu:a100:4(S:0-1)|gpu:a100:0(IDX:N/A)|up|\n"
        for n in range(NODES)
    )
    waiting = "".join(f"main|Priority|sim-{n}\n" for n in range(WAITING))
    own = "".join(
        f"{n}|RUNNING|2026-03-02T10:00:00|node{n:04}|fallow-alder-{n + 1}|None\n" for n in range(PILOTS)
    )
    return {
        "sinfo": f"{answers.NODE_HEADER}\n{nodes}",
        "waiting": f"{answers.WAITING_HEADER}\n{waiting}",
        "squeue": f"{answers.JOB_HEADER}\n{own}",
        "scontrol": f"{answers.NO_RESERVATIONS}\n",
    }


def install(folder: Path) -> None:
    """Put programs that print these outputs into `folder`."""
    for name, text in outputs().items():
        (folder / f"{name}.txt").write_text(text)
    for program in ("sinfo", "squeue", "scontrol", "sbatch", "scancel"):
        script = f"exec /bin/cat {folder}/{program}.txt"
        if program == "squeue":
            script = f'case "$*" in *PENDING*) exec /bin/cat {folder}/waiting.txt ;; esac\n{script}'
        (folder / program).write_text(f"#!/bin/sh\n{script}\n")
        (folder / program).chmod(0o755)


def cycles(folder: Path) -> tuple[list[tuple[float, float]], int]:
    """Seconds of each cycle, on the clock and of a processor, and the most memory in MB that the process held."""
    state, programs = folder / "state", folder / "bin"
    state.mkdir(mode=0o700)
    programs.mkdir()
    install(programs)
    policy = folder / "policy.toml"
    policy.write_text(POLICY.format(state=state))
    store = Store(state / "launcher.sqlite", "alder")
    for _ in range(PILOTS):
        begun = datetime.now(UTC) - timedelta(hours=2)
        store.intend(PilotRecord("", State.INTENT, 64, 0, 21600, begun))
    store.close()
    argv = [sys.executable, "-m", "tests.benchmarks.launcher_alone", str(policy), str(CYCLES)]
    environment = {**os.environ, "PATH": f"{programs}:/usr/bin:/bin"}
    done = subprocess.run(argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found = re.findall(r"^cycle ([0-9.]+) ([0-9.]+)$", done.stdout, re.MULTILINE)
    times = [(float(wall_s), float(cpu_s)) for wall_s, cpu_s in found]
    (memory_kb,) = re.findall(r"^VmHWM:\s+([0-9]+) kB$", done.stdout, re.MULTILINE)
    return times, int(memory_kb) // 1024


def main() -> int:
    """Measure and print; 1 when a goal is missed."""
    about = conditions()
    with tempfile.TemporaryDirectory() as folder:
        times, memory_mb = cycles(Path(folder))
    slowest = max(times)
    rows = [
        {
            "what": "slowest of three cycles",
            "value": f"{slowest[0]:.2f} s ({slowest[1]:.2f} s of a processor)",
            "goal": f"< {GOAL_S:g} s",
        },
        {"what": "resident memory", "value": f"{memory_mb} MB", "goal": f"< {GOAL_MB} MB"},
    ]
    tell("launcher", TITLE, about, {"rows": rows}, table)
    return int(slowest[0] >= GOAL_S or memory_mb >= GOAL_MB)


if __name__ == "__main__":
    sys.exit(main())

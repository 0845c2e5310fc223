"""What a job adds to the files of a hub.

Usage: python -m tests.benchmarks.bench_growth [--jobs N]

A user of a testbed with three centres submits short container jobs, each with an input file of 1 kB, and takes their
results when all have finished. Counted is what a file has grown by, less what it grows by in the same time without jobs.
The files of a job are those that lie in the spool until its result is taken. Of the database the tables of the ledger are
counted, with their indexes. A job that waits or runs for longer leaves more in the logs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.outcome import as_rows as table
from tests.benchmarks.outcome import conditions, tell
from tests.integration.conftest import inside, published

from fallow.client import connect
from fallow.queue.hub import open_queue
from fallow.queue.records import JobState
from fallow.queue.spec import JobSpec
from fallow_testbed import hub, people
from fallow_testbed.demo.run import wait_for_capacity
from fallow_testbed.host import Host
from fallow_testbed.images import ensure_sif, testbed_layers
from fallow_testbed.progress import Progress
from fallow_testbed.spec import DEFAULT
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

TITLE = "What a job adds to a hub's files"
RUN = "growth"
INPUT_BYTES = 1_000
QUIET_S = 60
LIMIT_S = 1_800
STATE = "var/lib/fallow"
FILES = {
    "the queue, `spool/job_queue.log`": [f"{STATE}/spool/job_queue.log"],
    "records of jobs, `spool/history`": [f"{STATE}/spool/history*"],
    "records of runs, `spool/epoch_history`": [f"{STATE}/spool/epoch_history*"],
    "audit log, `gateway/audit.jsonl`": [f"{STATE}/gateway/audit*.jsonl"],
    "HTCondor's logs, `log/`": [f"{STATE}/log/*"],
    "the journal": [f"var/log/fallow/{part}.log" for part in ("gateway", "matcher", "campaigns")],
}
DATABASE, SPOOLED = "the ledger, in the database", "the job's files, `spool/<cluster>/`, until they are taken"
_ASK = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone())"
_LEDGER_BYTES = """
SELECT sum(pgsize) FROM dbstat WHERE name IN
(SELECT name FROM sqlite_master WHERE tbl_name IN ('job_run', 'standing', 'pilot_report', 'pilot_run'))
"""
_ENDED_RUNS = "SELECT count(*) FROM job_run WHERE ended IS NOT NULL"


def submitted(image: str, folder: Path, jobs: int) -> None:
    """Submit them all at once; called at the desk."""
    numbers = folder / "numbers"
    numbers.write_bytes(b"x" * INPUT_BYTES)
    usual: dict[str, Any] = {"run": RUN, "image": image, "directory": folder, "input_files": (numbers,)}
    specs = [
        JobSpec(
            key=str(number), name=f"job-{number}", argv=("echo", str(number)), memory_mb=128, disk_mb=64,
            walltime_s=600, **usual,
        )
        for number in range(jobs)
    ]  # fmt: skip
    open_queue(connect()).submit(specs)


def finished() -> int:
    """How many have finished; called at the desk."""
    there = open_queue(connect()).status(RUN, ended=True)
    return sum(job.state is JobState.FINISHED for job in there.values())


def taken() -> None:
    """Take all results; called at the desk."""
    queue = open_queue(connect())
    queue.take([job.id for job in queue.status(RUN).values()])


def asked(host: Host, query: str) -> int:
    """A number that the hub's account finds in the database."""
    argv = ["python3", "-c", _ASK, f"/{STATE}/fallow.sqlite", query]
    return int(host.run(argv, user=hub.ACCOUNT).stdout)


def sizes(host: Host) -> dict[str, int]:
    """Bytes of each file now."""
    found = {
        what: sum(path.stat().st_size for pattern in patterns for path in host.files.glob(pattern))
        for what, patterns in FILES.items()
    }
    return {**found, DATABASE: asked(host, _LEDGER_BYTES)}


def measure(bed: Testbed, jobs: int, folder: Path) -> dict[str, float]:
    """Bytes that each job added to each file."""
    host, desk = bed.host("hub"), bed.host("desk")
    environment = people.environment(bed.layout(), "alice")
    packed = ensure_sif("analysis")
    image = f"sha256:{packed.sha256}"
    inside(desk, environment, published, packed.sif, image)
    wait_for_capacity(bed.layout(), Progress())
    before, began = sizes(host), time.monotonic()
    time.sleep(QUIET_S)
    quiet, quiet_s = sizes(host), time.monotonic() - began
    inside(desk, environment, submitted, image, folder, jobs)
    wait_until(lambda: inside(desk, environment, finished) == jobs, "the end of the jobs", LIMIT_S, 2)
    spool = (path for path in host.files.glob(f"{STATE}/spool/[0-9]*/**/*") if path.is_file())
    waiting = sum(path.stat().st_size for path in spool) / jobs
    inside(desk, environment, taken)
    wait_until(lambda: not inside(desk, environment, finished), "the end of the jobs in the queue", 300, 2)
    wait_until(lambda: asked(host, _ENDED_RUNS) >= jobs, "the jobs in the ledger", 300, 2)
    after, work_s = sizes(host), time.monotonic() - began - quiet_s
    grown = {
        what: (after[what] - quiet[what] - (quiet[what] - before[what]) * work_s / quiet_s) / jobs
        for what in after
    }
    return {SPOOLED: waiting, **grown}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=1_000)
    options = parser.parse_args()
    about = conditions()
    with tempfile.TemporaryDirectory() as scratch:
        bed = Testbed(Path(scratch) / "growth")
        bed.up(DEFAULT, testbed_layers(), Progress())
        try:
            found = measure(bed, options.jobs, Path(scratch))
        finally:
            bed.down()
    rows = [{"what": what, "bytes for each job": f"{max(0.0, value):,.0f}"} for what, value in found.items()]
    tell("growth", TITLE, about, {"rows": rows}, table)


if __name__ == "__main__":
    main()

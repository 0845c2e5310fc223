"""At the desk: one part of the bulk benchmark, in a process of its own; prints what it measured as JSON.

Usage: python -m tests.benchmarks.bulk_desk submit JOBS SNAKEMAKE-ARGUMENT …
       python -m tests.benchmarks.bulk_desk notice SNAKEMAKE-ARGUMENT …
       python -m tests.benchmarks.bulk_desk poll JOBS
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fallow.client import connect
from fallow.queue import JobSpec, JobState
from fallow.queue.client import Queue
from fallow.queue.hub import open_queue
from snakemake_executor_plugin_fallow.executor import Executor

Measured = dict[str, float]
BATCH, POLLS = 1000, 10
NOWHERE = "false"
"""What a job requires that is not to start."""


class Clocks:
    """Takes the time of calls by name: how often, seconds that passed, seconds of processor time here."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float, float]] = []

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, timed."""

        def timed(*arguments: Any, **named: Any) -> Any:
            begun, begun_cpu = time.monotonic(), time.process_time()
            try:
                return call(*arguments, **named)
            finally:
                self.calls.append((name, time.monotonic() - begun, time.process_time() - begun_cpu))

        return timed

    def sums(self) -> Measured:
        """What each took in all."""
        found: Measured = {}
        for name, passed, used in self.calls:
            found[f"{name}_s"] = found.get(f"{name}_s", 0) + passed
            found[f"{name}_cpu_s"] = found.get(f"{name}_cpu_s", 0) + used
        return found


def snakemake(arguments: list[str]) -> None:
    """Run Snakemake in this process; what it says goes to stderr."""
    from snakemake.cli import main

    out = os.dup(1)
    os.dup2(2, 1)
    try:
        main(arguments)
    except SystemExit as end:
        print(f"Snakemake ended with {end.code}.", file=sys.stderr)
    finally:
        sys.stdout.flush()
        os.dup2(out, 1)


def submit(jobs: int, arguments: list[str]) -> Measured:
    """All jobs of one rule go to the queue, where none can start; then Ctrl-C, while the queue is being polled."""
    clocks = Clocks()
    given: list[int] = []

    def run_jobs(executor: Any, batch: Any) -> None:
        timed(executor, batch)
        given.append(len(batch))
        if sum(given) == jobs:
            threading.Thread(target=interrupt).start()

    def interrupt() -> None:
        polls = len(polled)
        while len(polled) < polls + 2:  # the second begins after the jobs were registered
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    def status(queue: Queue, *asked: Any, **how: Any) -> Any:
        polled.append(1)
        return plain(queue, *asked, **how)

    polled: list[int] = []
    plain, Queue.status = Queue.status, status  # type: ignore[method-assign, assignment]
    timed = clocks.around("submit", Executor.run_jobs)
    Executor.run_jobs = run_jobs  # type: ignore[method-assign, assignment]
    Executor.cancel_jobs = clocks.around("cancel", Executor.cancel_jobs)  # type: ignore[method-assign]
    Path("Snakefile").write_text(f"""
rule all:
    input: expand("{{n}}.txt", n=range({jobs}))
rule each:
    output: "{{n}}.txt"
    resources: mem_mb=300, disk_mb=200, runtime=5, fallow_requirements="{NOWHERE}"
    shell: "echo {{wildcards.n}} > {{output}}"
""")
    snakemake([*arguments, "--jobs", str(jobs)])
    left = [job for job in open_queue(connect()).jobs() if job.state is not JobState.REMOVED]
    return {"jobs": sum(given), "calls": len(given), **clocks.sums(), "left": len(left)}


def notice(arguments: list[str]) -> Measured:
    """Jobs run for real; how long after its end Snakemake was told of each."""
    told: dict[str, float] = {}
    plain = Executor._report

    def report(executor: Any, event: Any) -> None:
        told[event.job] = time.time()
        plain(executor, event)

    Executor._report = report  # type: ignore[method-assign, assignment]
    Path("Snakefile").write_text("""
rule all:
    input: expand("{n}.txt", n=range(24))
rule each:
    output: "{n}.txt"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell: "echo {wildcards.n} > {output}"
""")
    snakemake([*arguments, "--jobs", "24"])
    queue = open_queue(connect())
    ended = {
        job.id: job for job in (*queue.jobs(), *queue.history(list(told)).values())
    }  # taken, or gone by now
    # the queue knows the second; half of it has passed in the middle
    late = [when - (job.finished + 0.5) for name, when in told.items() if (job := ended[name]).finished]
    return {"ended": len(late), "mean_s": statistics.mean(late), "most_s": max(late)}


def poll(jobs: int) -> Measured:
    """One poll where so many jobs wait: all of them, and those only that have ended."""
    queue, run = open_queue(connect()), f"bulk-{secrets.token_hex(4)}"
    clocks = Clocks()
    with tempfile.TemporaryDirectory() as folder:
        specs = [
            JobSpec(
                run=run, key=f"{number}", name=f"job {number}", image=f"sha256:{'0' * 64}", argv=("true",),
                directory=Path(folder), requirements=NOWHERE,
            )
            for number in range(jobs)
        ]  # fmt: skip
        for start in range(0, jobs, BATCH):
            clocks.around("submit_all", queue.submit)(specs[start : start + BATCH])
    for _ in range(POLLS):
        clocks.around("poll_all", queue.status)(run)
        clocks.around("poll_ended", queue.status)(run, ended=True)
    removed = clocks.around("remove_all", queue.remove)(run=run)
    found = clocks.sums()
    for name in ("poll_all_s", "poll_all_cpu_s", "poll_ended_s", "poll_ended_cpu_s"):
        found[name] /= POLLS
    return {"jobs": removed, **found}


def main() -> None:
    """Do the part that is asked for."""
    part, *rest = sys.argv[1:]
    parts: dict[str, Callable[[], Measured]] = {
        "submit": lambda: submit(int(rest[0]), rest[1:]),
        "notice": lambda: notice(rest),
        "poll": lambda: poll(int(rest[0])),
    }
    found = parts[part]()
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))


if __name__ == "__main__":
    main()

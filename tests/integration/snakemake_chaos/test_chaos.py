"""A hundred jobs while everything that can go away goes away: the results are those of a quiet local run."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from tests.integration.pilots.sites import Site
from tests.integration.snakemake_chaos.faults import PERSON, Chaos
from tests.integration.test_executor import Workflow

from fallow.client import connect
from fallow.queue.client import Queue
from fallow.queue.hub import open_queue
from fallow_testbed.images import ensure_sif
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

SEED = "FALLOW_CHAOS_SEED"
"""The environment variable with the seed of the faults' order and moments; `random` draws one and prints it."""
USUAL_SEED = "323610"
"""The suite does the same each time."""
LEASE_S = 30
"""How long these jobs wait for a pilot that vanished; the usual three minutes would only make the test longer."""
STARTS = 3
"""How often a command that could not begin, because storage or token were away, is given again."""
SNAKEFILE = """
rule all:
    input: "all.txt"
rule each:
    output: "parts/{n}.txt"
    log: "logs/{n}.log"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell: "echo part {wildcards.n} > {log}; echo {wildcards.n} | sha256sum > {output}"
rule reduce:
    input: lambda wildcards: [f"parts/{n}.txt" for n in range(96) if n % 4 == int(wildcards.m)]
    output: "sums/{m}.txt"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell: "cat {input} > {output}"
rule join:
    input: expand("sums/{m}.txt", m=range(4))
    output: "all.txt"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell: "cat {input} > {output}; sha256sum {input} >> {output}"
"""
NAMES = {f"each (n={n})" for n in range(96)} | {f"reduce (m={m})" for m in range(4)} | {"join"}


@dataclass(frozen=True)
class Outcome:
    """What came of the workflow.

    Args:
        code: Snakemake's exit code at the end.
        said: What its last call said.
        result: The last file, from the storage.
        expected: The same from the local run.
        rows: For each job in the queue and its history: name, state, exit code, starts.
    """

    code: int
    said: str
    result: str
    expected: str
    rows: list[tuple[str, str, str, int]]


def local(directory: Path) -> str:
    """The workflow's last file, made on this machine alone."""
    directory.mkdir()
    (directory / "Snakefile").write_text(SNAKEFILE)
    argv = [str(Path(sys.executable).with_name("snakemake")), "--cores", "4", "--quiet", "all"]
    subprocess.run(argv, cwd=directory, check=True, capture_output=True, timeout=300)
    return (directory / "all.txt").read_text()


def lease(run: str) -> None:
    """Shorten the lease of a run's jobs; called at the desk."""
    queue = open_queue(connect())
    assert isinstance(queue, Queue)
    queue._call("shorten the lease", "edit", f'FallowRun == "{run}"', "JobLeaseDuration", str(LEASE_S))


class Runner:
    """Gives the workflow's command again after every kill, and where storage or token were away when it began."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.process = workflow.start()

    def restart(self) -> None:
        """After a kill: the same command."""
        self.process.wait(timeout=60)
        self.process = self.workflow.start()

    def finish(self) -> int:
        """Wait for the end; its exit code."""
        for _ in range(STARTS):
            code = self.process.wait(timeout=600)
            if code == 0 or "Execute " in self.workflow.log.read_text():
                break
            self.process = self.workflow.start()
        return code


@pytest.fixture(scope="module")
def outcome(
    bed: Testbed,
    at: Callable[..., Any],
    operator: Callable[..., CompletedProcess[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Outcome:
    """A hundred jobs under every fault."""
    chosen = os.environ.get(SEED) or USUAL_SEED
    seed = random.SystemRandom().randrange(10**6) if chosen == "random" else int(chosen)
    print(f"{SEED}={seed}")
    expected = local(tmp_path_factory.mktemp("local") / "workflow")
    for name in ("alder", "birch", "cedar"):
        Site(name, bed.layout()).fallow("resume")
    Site("alder", bed.layout()).wait_for_pilots()
    directory = tmp_path_factory.mktemp(f"chaos-{seed}-")
    workflow = Workflow(bed, directory, ensure_sif("worker").sif)
    (directory / "Snakefile").write_text(SNAKEFILE)
    runner = Runner(workflow)
    records = directory / ".snakemake" / "fallow"
    wait_until(lambda: workflow.steps() >= 3, "the first finished jobs", 120)
    [run] = {path.stem for path in (records / "open").glob("*.json")}
    ours = f'FallowRun == "{run}"'
    at(PERSON, lease, run)
    chaos = Chaos(workflow, random.Random(seed), runner.restart)
    chaos.unleash()
    chaos.calm()
    code = runner.finish()
    columns = ("FallowName", "JobStatus", "ExitCode", "NumJobStarts", "ClusterId", "ProcId", "CompletionDate")
    ends = set()  # a schedd that is killed may add a job to its history twice
    for argv in (
        ("condor_q", "-name", "queue@hub", "-allusers"),
        ("condor_history", "-name", "queue@hub"),
    ):
        ends.update(operator(*argv, "-constraint", ours, "-af:t", *columns).stdout.splitlines())
    rows = [
        (name, state, exit_code, int(starts) if starts.isdigit() else 0)
        for name, state, exit_code, starts, *_ in (line.split("\t") for line in ends)
    ]
    said = workflow.log.read_text()
    print("\n".join(said.splitlines()[-120:]))
    return Outcome(code, said, workflow.result("all.txt") if code == 0 else "", expected, rows)


def test_the_results_are_those_of_a_local_run(outcome: Outcome) -> None:
    assert outcome.code == 0, outcome.said[-3000:]
    assert "/s3/" not in outcome.expected
    assert result_without_paths(outcome.result) == result_without_paths(outcome.expected)


def result_without_paths(text: str) -> list[str]:
    """The lines of a result; checksums name local copies of stored files by other paths."""
    return [line.split()[0] for line in text.splitlines()]


def test_no_job_is_lost(outcome: Outcome) -> None:
    assert {name for name, *_ in outcome.rows} == NAMES


def test_no_job_ran_to_completion_twice(outcome: Outcome) -> None:
    completed = Counter(name for name, _, code, _ in outcome.rows if code == "0")
    # A job whose output was whole when Snakemake was killed is no longer needed: it may be let go before it ends.
    assert {name: count for name, count in completed.items() if count > 1} == {}
    assert set(completed) <= NAMES

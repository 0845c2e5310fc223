"""What a user's own doings mean for a workflow's jobs: Ctrl-C, SIGTERM, a laptop that is closed for a while."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from subprocess import CompletedProcess

import pytest
from tests.integration.test_executor import Workflow

from fallow_testbed.images import ensure_sif
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

CLOSED_S = 20.0
SNAKEFILE = """
rule all:
    input: expand("{n}.txt", n=range(4))
rule each:
    output: "{n}.txt"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell: "sleep @s@; echo {wildcards.n} > {output}"
"""


@dataclass
class Case:
    """A workflow of four jobs, of which at most two are in the queue at a time."""

    workflow: Workflow
    process: subprocess.Popen[bytes]
    operator: Callable[..., CompletedProcess[str]]

    @property
    def said(self) -> str:
        """What Snakemake said."""
        return self.workflow.log.read_text()

    def states(self) -> list[str]:
        """HTCondor's states of the run's jobs in the queue: 1 waits, 2 runs, 4 has finished."""
        records = self.workflow.directory / ".snakemake" / "fallow"
        runs = {path.stem for path in (records / "open").glob("*.json")} | {
            path.stem for path in records.glob("*.jsonl")
        }
        clause = " || ".join(f'FallowRun == "{run}"' for run in runs) or "false"
        argv = ("condor_q", "-name", "queue@hub", "-allusers", "-constraint", clause, "-af", "JobStatus")
        return self.operator(*argv).stdout.split()

    def signal(self, name: str) -> None:
        """Send a signal to Snakemake, and to nothing that it started."""
        pattern = f"default-storage-prefix .*/{self.workflow.directory.name} "
        self.workflow.desk("pkill", "--signal", name, "-f", pattern)

    def outcomes(self) -> list[str]:
        """What became of each job, as the run's record says."""
        [path] = (self.workflow.directory / ".snakemake" / "fallow").glob("*.jsonl")
        return [json.loads(line)["outcome"] for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def cases(
    bed: Testbed,
    operator: Callable[..., CompletedProcess[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Case]:
    """Three workflows side by side; each meets one of them when its first jobs run."""
    found = {}
    for name, lasts_s in (("interrupted", 300), ("terminated", 10), ("asleep", 10)):
        workflow = Workflow(bed, tmp_path_factory.mktemp(name), ensure_sif("worker").sif)
        workflow.argv += ["--jobs", "2"]
        (workflow.directory / "Snakefile").write_text(SNAKEFILE.replace("@s@", str(lasts_s)))
        found[name] = Case(workflow, workflow.start(), operator)
    for case in found.values():
        wait_until(lambda case=case: "2" in case.states(), "a running job", 240, pause_s=0.5)  # type: ignore[misc]
    found["asleep"].signal("STOP")
    closed = time.monotonic()
    found["interrupted"].signal("INT")
    found["terminated"].signal("TERM")
    wait_until(lambda: time.monotonic() > closed + CLOSED_S, "the laptop's lid to be opened", 60)
    found["asleep"].signal("CONT")
    for case in found.values():
        case.process.wait(timeout=300)
    return found


@pytest.mark.timeout(900)
def test_ctrl_c_removes_every_job_and_ends(cases: dict[str, Case]) -> None:
    case = cases["interrupted"]
    assert case.process.returncode != 0
    assert "Removed 2 jobs of the run" in case.said
    assert case.states() == []


def test_sigterm_waits_for_what_was_submitted_and_starts_nothing_more(cases: dict[str, Case]) -> None:
    case = cases["terminated"]
    assert case.process.returncode != 0
    assert case.outcomes() == ["done", "done"]


def test_a_closed_laptop_loses_nothing(cases: dict[str, Case]) -> None:
    case = cases["asleep"]
    assert case.process.returncode == 0, case.said[-3000:]
    assert case.outcomes() == ["done"] * 4

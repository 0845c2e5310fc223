"""What a job writes, seen by its owner while it runs, and after it was killed."""

from __future__ import annotations

import json
import subprocess

import pytest
from tests.integration.test_executor import Workflow

from fallow_testbed import people
from fallow_testbed.demo.run import FALLOW
from fallow_testbed.images import ensure_sif
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

SNAKEFILE = """
rule all:
    input: "talk.txt", "fat.txt"
rule talk:
    output: "talk.txt"
    log: "logs/talk.log"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell:
        "for i in $(seq 30); do echo line $i; echo error $i >&2; echo step $i >> {log}; sleep 1; done; "
        "echo > {output}"
rule fat:
    output: "fat.txt"
    log: "logs/fat.log"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell:
        "echo I am hungry; echo eating > {log}; "
        "python -c 'import time; held = bytearray(900_000_000); time.sleep(200)'; echo > {output}"
"""
LINES = [f"line {n}" for n in range(1, 31)]


class Watched:
    """A workflow with a job that talks and one that takes more memory than it asked for."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        (workflow.directory / "Snakefile").write_text(SNAKEFILE)
        workflow.argv += ["--keep-going"]
        snakemake = workflow.start()
        wait_until(lambda: "running" in self.states().values(), "a job that runs", 180, pause_s=0.5)
        [job] = [row["id"] for row in self.jobs() if row["name"] == "talk"]
        self.seen = self.fallow("logs", job, "--follow")
        self.strangers = self.fallow("logs", job, person="bob")
        self.code = snakemake.wait(timeout=400)
        self.said = workflow.log.read_text()

    def fallow(self, *argv: str, person: str = "alice") -> subprocess.CompletedProcess[str]:
        """Run `fallow` at the desk."""
        layout = self.workflow.layout
        return layout.desk().run(
            [FALLOW, *argv], env=people.environment(layout, person), check=False, timeout_s=300
        )

    def jobs(self) -> list[dict[str, str]]:
        """What `fallow jobs` says of this workflow's jobs."""
        records = self.workflow.directory / ".snakemake" / "fallow" / "open"
        runs = [path.stem for path in records.glob("*.json")]
        return [row for run in runs for row in json.loads(self.fallow("jobs", "--run", run, "--json").stdout)]

    def states(self) -> dict[str, str]:
        """The state of each job that the queue has."""
        return {row["name"]: row["state"] for row in self.jobs() if row["name"] == "talk"}


@pytest.fixture(scope="module")
def watched(bed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return Watched(Workflow(bed, tmp_path_factory.mktemp("logs"), ensure_sif("worker").sif))


def test_a_running_job_is_followed_to_its_end(watched: Watched) -> None:
    assert watched.seen.returncode == 0, watched.seen.stderr
    said = watched.seen.stdout.splitlines()
    assert [line for line in said if line.startswith("line ")] == LINES
    assert "==> " in watched.seen.stdout, "the rule's log is shown while it runs"
    assert "error 30" in watched.seen.stderr


def test_nobody_sees_what_another_persons_job_writes(watched: Watched) -> None:
    assert watched.strangers.returncode != 0
    assert "You have no job" in watched.strangers.stderr


def test_a_job_that_takes_too_much_memory_is_named_so_and_its_last_words_are_shown(watched: Watched) -> None:
    assert watched.code == 1
    assert "Out of memory (mem_mb): The job used" in watched.said
    assert "  | I am hungry" in watched.said
    assert "  | eating" in watched.said


def test_the_summary_says_what_to_ask_for(watched: Watched) -> None:
    [path] = (watched.workflow.directory / ".snakemake" / "fallow").glob("*.json")
    rules = {row["rule"]: row for row in json.loads(path.read_text())["rules"]}
    assert rules["talk"]["done"] == 1
    assert 0 < rules["talk"]["cpu_share"] < 1
    assert 0 < rules["talk"]["memory_share"] < 1
    assert (rules["fat"]["failed"], rules["fat"]["propose_mem_mb"]) == (1, 768)

"""What users see and do while their jobs run: logs, a job that is killed, Ctrl-C, SIGTERM, a laptop that is closed.

Five workflows side by side, as each of them mostly waits.
"""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from subprocess import CompletedProcess
from typing import Any

import pytest
from tests.integration.test_executor import Workflow

from fallow_testbed import people
from fallow_testbed.demo.run import FALLOW
from fallow_testbed.images import ensure_sif
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

CLOSED_S = 20.0
FOUR = """
rule all:
    input: expand("{n}.txt", n=range(4))
rule each:
    output: "{n}.txt"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell: "sleep @s@; echo {wildcards.n} > {output}"
"""
TALK = """
rule talk:
    output: "talk.txt"
    log: "logs/talk.log"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell:
        "for i in $(seq 30); do echo line $i; echo error $i >&2; echo step $i >> {log}; sleep 1; done; "
        "echo > {output}"
"""
FAT = """
rule fat:
    output: "fat.txt"
    log: "logs/fat.log"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell:
        "echo I am hungry; echo eating > {log}; "
        "python -c 'import time; held = bytearray(900_000_000); time.sleep(200)'; echo > {output}"
"""
SNAKEFILES = {
    "interrupted": FOUR.replace("@s@", "300"),
    "terminated": FOUR.replace("@s@", "30"),
    "asleep": FOUR.replace("@s@", "30"),
    "talking": TALK,
    "greedy": FAT,
}
LINES = [f"line {n}" for n in range(1, 31)]


@dataclass
class Case:
    """A workflow, of which at most two jobs are in the queue at a time."""

    workflow: Workflow
    process: subprocess.Popen[bytes]

    @property
    def said(self) -> str:
        """What Snakemake said."""
        return self.workflow.log.read_text()

    def fallow(self, *argv: str, person: str = "alice") -> CompletedProcess[str]:
        """Run `fallow` at the desk."""
        layout = self.workflow.layout
        env = people.environment(layout, person)
        return layout.desk().run([FALLOW, *argv], env=env, check=False, timeout_s=300)

    def jobs(self) -> list[dict[str, Any]]:
        """What `fallow jobs` says of the workflow's jobs."""
        records = self.workflow.directory / ".snakemake" / "fallow"
        runs = {path.stem for name in ("open/*.json", "*.jsonl") for path in records.glob(name)}
        return [row for run in runs for row in json.loads(self.fallow("jobs", "--run", run, "--json").stdout)]

    def wait_running(self) -> None:
        """Wait until one of its jobs runs."""
        wait_until(
            lambda: any(row["state"] == "running" for row in self.jobs()),
            f"a running job: {self.said[-1000:]}",
            240,
            pause_s=0.5,
        )

    def signal(self, name: str) -> None:
        """Send a signal to Snakemake, and to nothing that it started."""
        pattern = f"default-storage-prefix .*/{self.workflow.directory.name} "
        self.workflow.desk("pkill", "--signal", name, "-f", pattern)
        if name == "CONT":  # nsenter stops itself with what it started, and does not go on by itself
            self.process.send_signal(signal.SIGCONT)

    def outcomes(self) -> list[str]:
        """What became of each job, as the run's record says."""
        [path] = (self.workflow.directory / ".snakemake" / "fallow").glob("*.jsonl")
        return [json.loads(line)["outcome"] for line in path.read_text().splitlines()]

    def rules(self) -> dict[str, dict[str, Any]]:
        """The summary of each rule."""
        [path] = (self.workflow.directory / ".snakemake" / "fallow").glob("*.json")
        return {row["rule"]: row for row in json.loads(path.read_text())["rules"]}


@dataclass
class Seen:
    """What came of all of them.

    Args:
        cases: The workflows, after their end.
        followed: `fallow logs --follow` of the job that talks.
        strangers: `fallow logs` by somebody else: while the job runs, and when it has left the queue.
    """

    cases: dict[str, Case]
    followed: CompletedProcess[str]
    strangers: list[CompletedProcess[str]]


@pytest.fixture(scope="module")
def seen(bed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Every workflow meets its fate when its first jobs run."""
    cases = {}
    for name, snakefile in SNAKEFILES.items():
        directory = tmp_path_factory.mktemp(f"{name}-{secrets.token_hex(4)}-")
        workflow = Workflow(bed, directory, ensure_sif("worker").sif)
        workflow.argv += ["--jobs", "2"]
        (directory / "Snakefile").write_text(snakefile)
        cases[name] = Case(workflow, workflow.start())
    talking = cases["talking"]

    def watch() -> tuple[CompletedProcess[str], list[CompletedProcess[str]]]:
        talking.wait_running()
        [job] = [row["id"] for row in talking.jobs()]
        strangers = [talking.fallow("logs", job, person="bob")]
        followed = talking.fallow("logs", job, "--follow")
        talking.process.wait(timeout=600)
        strangers.append(talking.fallow("logs", job, person="bob"))
        return followed, strangers

    def signalled(name: str, *signals: str) -> None:
        cases[name].wait_running()
        for number, each in enumerate(signals):
            time.sleep(number * CLOSED_S)  # how long the laptop is closed
            cases[name].signal(each)

    with ThreadPoolExecutor() as pool:
        watched = pool.submit(watch)
        fates = [
            pool.submit(signalled, "interrupted", "INT"),
            pool.submit(signalled, "terminated", "TERM"),
            pool.submit(signalled, "asleep", "STOP", "CONT"),
        ]
        for fate in fates:
            fate.result()
        for case in cases.values():
            case.process.wait(timeout=600)
        return Seen(cases, *watched.result())


@pytest.mark.timeout(900)
def test_a_running_job_is_followed_to_its_end(seen: Seen) -> None:
    assert seen.followed.returncode == 0, seen.followed.stderr
    said = seen.followed.stdout.splitlines()
    assert [line for line in said if line.startswith("line ")] == LINES
    assert "==> " in seen.followed.stdout, "the rule's log is shown while it runs"
    assert "error 30" in seen.followed.stderr


def test_nobody_sees_what_another_persons_job_writes(seen: Seen) -> None:
    for stranger in seen.strangers:
        assert stranger.returncode != 0
        assert "You have no job" in stranger.stderr


def test_a_job_that_takes_too_much_memory_is_named_so_and_its_last_words_are_shown(seen: Seen) -> None:
    case = seen.cases["greedy"]
    assert case.process.returncode == 1
    assert "Out of memory (mem_mb): The job used" in case.said
    assert "  | I am hungry" in case.said
    assert "  | eating" in case.said


def test_the_summary_says_what_to_ask_for(seen: Seen) -> None:
    talk, fat = seen.cases["talking"].rules()["talk"], seen.cases["greedy"].rules()["fat"]
    assert talk["done"] == 1
    assert 0 < talk["cpu_share"] < 1
    assert 0 < talk["memory_share"] < 1
    assert (fat["failed"], fat["propose_mem_mb"]) == (1, 768)


def test_ctrl_c_removes_every_job_and_ends(seen: Seen) -> None:
    case = seen.cases["interrupted"]
    assert case.process.returncode != 0
    assert "Removed 2 jobs of the run" in case.said
    assert case.jobs() == []


def test_sigterm_waits_for_what_was_submitted_and_starts_nothing_more(seen: Seen) -> None:
    case = seen.cases["terminated"]
    assert case.process.returncode != 0
    assert case.outcomes() == ["done", "done"]


def test_a_closed_laptop_loses_nothing(seen: Seen) -> None:
    case = seen.cases["asleep"]
    assert case.process.returncode == 0, case.said[-3000:]
    assert case.outcomes() == ["done"] * 4

"""The demo, as its tutorial tells: every command of the page is run, and what it says is checked."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fallow_testbed import demo_data
from fallow_testbed.host import holders
from fallow_testbed.progress import Progress
from fallow_testbed.testbed import state_directory

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial" / "demo.md"


@dataclass(frozen=True)
class Ran:
    """One command of the page and what it said."""

    command: str
    returncode: int
    said: str


def commands(page: Path) -> list[str]:
    """The commands of a page's console blocks, in order."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    return [
        line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")
    ]


@pytest.fixture(scope="module")
def tutorial() -> Iterator[dict[str, Ran]]:
    """Every command of the tutorial, run in order from the top of the clone."""
    ran: dict[str, Ran] = {}
    try:
        for command in commands(PAGE):
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=ROOT,
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=900,
                check=False,
            )
            ran[command] = Ran(command, done.returncode, done.stdout)
            assert done.returncode == 0, f"{command} failed:\n{done.stdout[-4000:]}"
        yield ran
    finally:
        subprocess.run(["make", "down"], cwd=ROOT, check=True, capture_output=True)


@pytest.fixture(scope="module")
def jobs(tutorial: dict[str, Ran]) -> list[dict[str, Any]]:
    """The run's own record of its jobs."""
    (record,) = (ROOT / "demo" / ".snakemake" / "fallow").glob("*.jsonl")
    return [json.loads(line) for line in record.read_text().splitlines()]


def variants(file: Path) -> list[str]:
    """The calls of a VCF file, without its header."""
    return [line for line in file.read_text().splitlines() if not line.startswith("#")]


@pytest.mark.timeout(1500)
def test_every_command_of_the_tutorial_works(tutorial: dict[str, Ran]) -> None:
    assert len(tutorial) >= 10


def test_the_demo_says_where_the_results_are_and_how_to_go_on(tutorial: dict[str, Ran]) -> None:
    said = tutorial["make demo"].said
    for sentence in ("Spare capacity on offer", "Results: ", "Look further: ", "Take it down: make down"):
        assert sentence in said


def test_jobs_ran_at_all_three_centres(jobs: list[dict[str, Any]]) -> None:
    done = [job for job in jobs if job["outcome"] == "done"]
    assert {job["centre"] for job in done} == {"alder", "birch", "cedar"}
    assert len(done) >= 20


def test_every_job_was_done_once_and_no_retry_was_spent(jobs: list[dict[str, Any]]) -> None:
    names = [job["name"] for job in jobs]
    assert sorted(names) == sorted(set(names)), (
        "a job that lost its pilot is started again, not submitted again"
    )
    assert {job["outcome"] for job in jobs} == {"done"}


def test_a_preempted_job_finished_elsewhere(tutorial: dict[str, Ran], jobs: list[dict[str, Any]]) -> None:
    told = re.search(
        r"^(.+) lost its slot at (\w+) to a local user's job and ran to its end",
        tutorial["make demo"].said,
        re.M,
    )
    assert told, tutorial["make demo"].said[-3000:]
    (job,) = (job for job in jobs if job["name"] == told[1])
    assert job["starts"] >= 2
    assert job["outcome"] == "done"


def test_the_variants_are_those_of_a_local_run(tutorial: dict[str, Ran], tmp_path: Path) -> None:
    demo_data.prepare(tmp_path, Progress())
    demo_data.run_here(tmp_path, ["results/variants.vcf"])
    here = variants(tmp_path / "results" / "variants.vcf")
    assert len(here) > 50
    assert variants(ROOT / "demo" / "results" / "variants.vcf") == here


def test_nothing_of_the_demo_runs_after_down(tutorial: dict[str, Ran]) -> None:
    assert holders(state_directory("demo") / "hosts") == {}
    assert not state_directory("demo").exists()

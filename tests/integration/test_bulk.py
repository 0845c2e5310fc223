"""Many jobs at once, and what is said of jobs before they go: Snakemake's executor in the real federation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from tests.integration.test_executor import Workflow

from fallow_testbed.images import ensure_sif
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

JOBS = 300
MANY = f"""
rule all:
    input: expand("{{n}}.txt", n=range({JOBS}))
rule each:
    output: "{{n}}.txt"
    resources: mem_mb=300, disk_mb=200, runtime=5, fallow_requirements="false"
    shell: "echo {{wildcards.n}} > {{output}}"
"""
WISHES = """
rule all:
    input: "small.txt", "big.txt", "gpu.txt"
rule small:
    output: "small.txt"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell: "echo small > {output}"
rule big:
    output: "big.txt"
    threads: 64
    shell: "echo big > {output}"
rule gpu:
    output: "gpu.txt"
    resources: gpu=1, gpu_model="A100"
    shell: "echo gpu > {output}"
rule lost:
    output: "lost.txt"
    resources: fallow_centre="nowhere"
    shell: "echo lost > {output}"
"""
SOFTWARE = """
rule digest:
    output: "digest.txt"
    container: "DIGEST"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell: "cat /etc/os-release > {output}"
rule conda:
    output: "conda.txt"
    conda: "env.yaml"
    retries: 2
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell: "touch {output}"
"""
WAITS = "No present offer takes this; its jobs will wait until one does."


@pytest.fixture
def workflow(bed: Testbed, tmp_path: Path) -> Iterator[Workflow]:
    made = Workflow(bed, tmp_path, ensure_sif("worker").sif)
    yield made
    pattern = f"default-storage-prefix .*/{made.directory.name} "
    made.desk("pkill", "--signal", "KILL", "-f", pattern, check=False)


class Jobs:
    """What the queue has of a workflow's run."""

    def __init__(self, workflow: Workflow, operator: Callable[..., CompletedProcess[str]]) -> None:
        self._records = workflow.directory / ".snakemake" / "fallow"
        self._operator = operator
        self._last: list[str] = []

    def there(self) -> list[tuple[str, str]]:
        """Cluster and status of each job that is in the queue and not about to leave it."""
        runs = [path.stem for path in (self._records / "open").glob("*.json")] or self._last
        self._last = runs
        wanted = " || ".join(f'FallowRun == "{run}"' for run in runs) or "false"
        said = self._operator(
            *("condor_q", "-name", "queue@hub", "-allusers", "-constraint", f"({wanted}) && JobStatus != 3"),
            *("-af", "ClusterId", "JobStatus"),
        ).stdout
        return [(line.split()[0], line.split()[1]) for line in said.splitlines()]


def test_many_jobs_are_one_cluster_and_ctrl_c_removes_them_all(
    workflow: Workflow, operator: Callable[..., CompletedProcess[str]]
) -> None:
    (workflow.directory / "Snakefile").write_text(MANY)
    workflow.argv += ["--jobs", str(JOBS)]
    jobs = Jobs(workflow, operator)
    running = workflow.start()

    def all_wait() -> bool:
        assert running.poll() is None, workflow.log.read_text()
        return [status for _, status in jobs.there()] == ["1"] * JOBS

    wait_until(all_wait, "all jobs in the queue", 180, pause_s=0.5)
    assert len({cluster for cluster, _ in jobs.there()}) == 1
    workflow.desk("pkill", "--signal", "INT", "-f", f"default-storage-prefix .*/{workflow.directory.name} ")
    assert running.wait(timeout=120) != 0
    assert f"Removed {JOBS} jobs of the run" in workflow.log.read_text()
    assert jobs.there() == []


def test_a_dry_run_says_which_rules_no_present_offer_takes_and_why(workflow: Workflow) -> None:
    (workflow.directory / "Snakefile").write_text(WISHES)
    done = workflow.desk(*workflow.argv, "--dry-run")
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(WAITS)]
    assert len(said) == 2
    assert any("Rule big: No offer can take the job as it is: needs 64 cores; " in line for line in said)
    assert any("Rule gpu: No offer can take the job as it is: needs 1 GPU; " in line for line in said)


def test_a_rule_that_can_never_run_ends_the_workflow_before_anything_is_submitted(workflow: Workflow) -> None:
    (workflow.directory / "Snakefile").write_text(WISHES)
    done = workflow.desk(*workflow.argv, "small.txt", "lost.txt", check=False)
    assert done.returncode == 1
    assert "Rule lost: There is no centre 'nowhere'; there are alder, birch, cedar." in done.stderr
    assert not list((workflow.directory / ".snakemake" / "fallow").glob("*.jsonl"))


def test_an_image_is_named_by_its_digest_and_conda_is_refused_once_where_the_image_has_none(
    workflow: Workflow, image: str
) -> None:
    (workflow.directory / "Snakefile").write_text(SOFTWARE.replace("DIGEST", image))
    (workflow.directory / "env.yaml").write_text("dependencies: []\n")
    both = ("--software-deployment-method", "apptainer", "conda", "--keep-going")
    done = workflow.desk(*workflow.argv, *both, "--", "digest.txt", "conda.txt", check=False)
    assert (
        "The image has no conda, which the rule conda asks for. Give the rule a container: instead"
        in done.stderr
    )
    assert "Debian" in workflow.result("digest.txt")
    [report] = (workflow.directory / ".snakemake" / "fallow").glob("*.jsonl")
    ended = sorted(
        (line["rule"], line["outcome"]) for line in map(json.loads, report.read_text().splitlines())
    )
    assert ended == [("conda", "failed"), ("digest", "done")]

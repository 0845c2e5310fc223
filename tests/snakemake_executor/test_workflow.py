"""Snakemake itself with this executor and a real S3 server; the queue runs jobs as processes of this machine."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import LocalQueue, content


def test_a_workflow_runs_and_its_jobs_go_in_batches(
    workflow: Callable[..., bool], queue: LocalQueue, s3: str, tmp_path: Path
) -> None:
    assert workflow("""
rule all:
    input: "all.txt"
rule each:
    output: "{n}.txt"
    threads: 2
    resources: mem_mb=300, runtime=5
    shell: "echo {wildcards.n:q} > {output:q}"
rule join:
    input: expand("{n}.txt", n=["a", "b'c"])
    output: "all.txt"
    run:
        with open(output[0], "w") as out:
            for name in input:
                out.write(open(name).read())
""")
    assert content(s3, tmp_path, "all.txt") == "a\nb'c\n"
    assert queue.batches == [2, 1]
    spec = next(iter(queue.specs.values()))
    assert (spec.cores, spec.memory_mb, spec.walltime_s) == (2, 512, 300)
    assert "secret" not in spec.model_dump_json()
    report = next((tmp_path / "workflow" / ".snakemake" / "fallow").glob("*.jsonl"))
    assert [json.loads(line)["outcome"] for line in report.read_text().splitlines()] == ["done"] * 3


def test_the_log_of_a_failed_rule_is_shown_and_a_retry_is_a_new_job(
    workflow: Callable[..., bool], queue: LocalQueue, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with caplog.at_level(logging.ERROR):
        assert not workflow(
            """
rule fails:
    output: "x.txt"
    log: "x.log"
    resources: mem_mb=lambda wildcards, attempt: 512 * attempt
    shell: "echo the reason > {log}; exit 3"
""",
            retries=1,
        )
    assert [spec.memory_mb for spec in queue.specs.values()] == [512, 1024]
    written = [path.read_text() for path in (tmp_path / "workflow" / ".snakemake" / "fallow").rglob("stderr")]
    assert len(written) == 2
    assert all("the reason" in text for text in written)


def test_a_container_that_cannot_be_brought_is_refused_before_anything_runs(
    workflow: Callable[..., bool], queue: LocalQueue
) -> None:
    assert not workflow(
        """
rule map:
    output: "x.txt"
    container: "docker://ubuntu:24.04"
    shell: "touch {output}"
""",
        containers=True,
    )
    assert queue.batches == []


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What Snakemake was told of failed jobs."""
    return [vars(record)["rule_msg"] for record in caplog.records if vars(record).get("event") == "job_error"]


def test_conda_in_an_image_without_it_is_refused_once_whatever_the_retries(
    workflow: Callable[..., bool], queue: LocalQueue, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert not workflow(
            """
rule map:
    output: "x.txt"
    conda: "env.yaml"
    retries: 3
    shell: "touch {output}"
""",
            conda=True,
        )
    assert len(queue.specs) == 1
    [said] = told(caplog)
    assert "The image has no conda, which the rule map asks for. Give the rule a container: instead" in said


def test_what_can_be_refused_before_it_is_submitted_is_refused_once_whatever_the_retries(
    workflow: Callable[..., bool], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert not workflow(
            """
rule map:
    output: "x.txt"
    container: "docker://ubuntu:24.04"
    retries: 3
    shell: "touch {output}"
""",
            containers=True,
        )
    [said] = told(caplog)
    assert "jobs cannot pull images" in said


def test_a_local_container_is_published_and_linked_in_the_job(
    workflow: Callable[..., bool], queue: LocalQueue, tmp_path: Path
) -> None:
    (tmp_path / "workflow" / "image.sif").write_text("image")
    workflow(
        """
rule map:
    output: "x.txt"
    container: "image.sif"
    shell: "touch {output}"
""",
        containers=True,
    )
    spec = next(iter(queue.specs.values()))
    assert len(spec.images) == 1
    assert spec.images[0].startswith("sha256:")

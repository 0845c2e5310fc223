"""The thirteen traps of Snakemake's interface, one test each; those in `ELSEWHERE` need more than this file has.

The workflows run as in `test_workflow`: Snakemake itself, a real S3 server, jobs as processes of this machine.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from snakemake_executor_plugin_fallow.executor import Executor
from snakemake_executor_plugin_fallow.resources import request
from snakemake_executor_plugin_fallow.sources import publish

from .conftest import LocalQueue, content

ELSEWHERE = {
    11: ("test_s3.py", "test_trap_11_a_bucket_stays_when_its_last_object_goes"),
    13: ("test_recovery.py", "test_marks_go_where_the_job_ended_well_or_is_still_there"),
}


def bare(backend: Any) -> Any:
    """An executor that Snakemake has made, but for all that it would connect to."""
    executor = object.__new__(Executor)
    executor._backend = backend
    executor.logger = logging.getLogger("test")
    executor.run = "r"
    return executor


class Backend:
    """Answers polls as it is told, and knows whether it was cancelled."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.cancelled = 0
        self.active = 1

    def poll(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cancel(self) -> int:
        self.cancelled += 1
        return 3


def polled(executor: Any, jobs: list[SubmittedJobInfo]) -> list[SubmittedJobInfo]:
    async def collect() -> list[SubmittedJobInfo]:
        return [job async for job in executor.check_active_jobs(jobs)]

    return asyncio.run(collect())


def test_trap_1_a_cancellation_during_a_poll_removes_all_jobs_of_the_run() -> None:
    backend = Backend()
    bare(backend).cancel_jobs([])  # a poll has taken Snakemake's list
    assert backend.cancelled == 1


def test_trap_2_an_error_in_a_poll_does_not_end_the_workflow() -> None:
    job = SubmittedJobInfo(job=SimpleNamespace(), aux={})
    assert polled(bare(Backend(OSError("the hub is away"))), [job]) == [job]


def test_trap_3_every_job_is_yielded_until_it_is_reported() -> None:
    job = SubmittedJobInfo(job=SimpleNamespace(), aux={})
    executor = bare(Backend([], []))
    assert polled(executor, [job]) == [job]
    job.aux["reported"] = True
    assert polled(executor, [job]) == []


def test_trap_4_a_poll_before_anything_is_ready_asks_nothing() -> None:
    executor = object.__new__(Executor)  # as the thread that polls finds it
    assert polled(executor, []) == []
    assert executor.next_seconds_between_status_checks > 0


def test_traps_5_and_6_neither_the_directory_nor_the_cores_of_this_side_reach_the_job(
    workflow: Callable[..., bool], queue: LocalQueue, s3: str, tmp_path: Path
) -> None:
    assert workflow("""
rule where:
    output: "where.txt"
    threads: 2
    shell: "pwd > {output}; echo {threads} >> {output}"
""")
    [sandbox] = queue.outputs.values()
    said = (sandbox / "stderr").read_text()
    assert "--directory" not in said
    assert "--cores 2" in said
    assert content(s3, tmp_path, "where.txt") == f"{sandbox / 'work'}\n2\n"


def test_trap_7_what_snakemake_leaves_open_at_submission_has_a_default() -> None:
    asked = request("map", 1, {}, {})
    assert min(asked.memory_mb, asked.disk_mb, asked.walltime_s) > 0


def test_trap_8_a_rules_own_retries_are_new_jobs_and_never_happen_in_the_old_one(
    workflow: Callable[..., bool], queue: LocalQueue, s3: str, tmp_path: Path
) -> None:
    assert workflow("""
rule fails_first:
    output: "x.txt"
    retries: 2
    resources: mem_mb=lambda wildcards, attempt: 512 * attempt
    shell: "echo try; test {resources.mem_mb} -ge 1024 && echo {resources.mem_mb} > {output}"
""")
    assert [spec.memory_mb for spec in queue.specs.values()] == [512, 1024]
    assert content(s3, tmp_path, "x.txt") == "1024\n"
    assert [(box / "stdout").read_text().count("try") for box in queue.outputs.values()] == [1, 1]


def test_trap_9_the_log_of_a_failed_rule_is_shown(
    workflow: Callable[..., bool], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert not workflow("""
rule fails:
    output: "x.txt"
    log: "logs/x.log"
    shell: "echo the reason > {log}; exit 3"
""")
    shown = [path.read_text() for path in (tmp_path / "workflow" / ".snakemake" / "fallow").rglob("stderr")]
    assert any("the reason" in text for text in shown)


def test_trap_10_the_end_of_a_run_leaves_the_sources_to_another_run(
    workflow: Callable[..., bool], tmp_path: Path, s3: str
) -> None:
    import boto3

    snakefile = "rule a:\n    output: touch('a.txt')\n"
    assert workflow(snakefile)
    client = boto3.client("s3", endpoint_url=s3, aws_access_key_id="key", aws_secret_access_key="secret")
    folder = f"alice/{tmp_path.name}/.fallow/sources/"
    [archive] = client.list_objects_v2(Bucket="users", Prefix=folder)["Contents"]
    content_of = client.get_object(Bucket="users", Key=archive["Key"])["Body"].read()
    other = publish(content_of, f"s3://users/alice/{tmp_path.name}")
    assert other.url.endswith(archive["Key"])


def test_trap_12_a_pipe_between_rules_ends(
    workflow: Callable[..., bool], queue: LocalQueue, s3: str, tmp_path: Path
) -> None:
    assert workflow("""
rule receives:
    input: "stream"
    output: "sum.txt"
    shell: "paste -sd+ {input} > {output}"
rule sends:
    output: pipe("stream")
    shell: "seq 3 > {output}"
""")
    assert content(s3, tmp_path, "sum.txt") == "1+2+3\n"
    assert queue.batches == [1]


@pytest.mark.parametrize("trap", sorted(ELSEWHERE))
def test_a_trap_of_another_file_is_there(trap: int) -> None:
    file, name = ELSEWHERE[trap]
    assert f"def {name}(" in (Path(__file__).parent / file).read_text()

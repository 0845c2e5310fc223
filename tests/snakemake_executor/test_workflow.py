"""Snakemake itself with this executor and a real S3 server; the queue runs jobs as processes of this machine."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from snakemake import api
from snakemake.settings import types as settings
from snakemake_interface_executor_plugins.settings import DeploymentMethod

from fallow.client import ClientSettings
from fallow.hub import HubClient
from fallow.messages import ImageUpload, StorageAccess
from snakemake_executor_plugin_fallow import ExecutorSettings
from snakemake_executor_plugin_fallow.federation import Federated

from .conftest import DIGEST, LocalQueue


class Hub(HubClient):
    """A hub that has every image and gives everybody the same storage."""

    def __init__(self, settings: ClientSettings, access: StorageAccess) -> None:
        super().__init__(settings, token=lambda: pytest.fail("no token is needed"))
        self.access = access

    def storage(self, below: str = "") -> StorageAccess:
        return self.access

    def image_upload(self, digest: str) -> ImageUpload | None:
        return None


@pytest.fixture
def queue(tmp_path: Path) -> LocalQueue:
    return LocalQueue(tmp_path / "nodes")


@pytest.fixture
def workflow(
    s3: str, queue: LocalQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., bool]]:
    """Runs a Snakefile through the executor; returns whether it succeeded."""
    import boto3

    expires = datetime.now(UTC) + timedelta(hours=1)
    storage = StorageAccess(
        endpoint=s3, region="us-east-1", bucket="users", prefix="alice", access_key="key", secret_key="secret",
        expires=expires,
    )  # fmt: skip

    def connect(cls: Any, chosen: Any, *, run: str, prefix: str | None, own_keys: bool) -> Federated:
        defaults = {"work_type": None, "centre": None, "requirements": None}
        client = ClientSettings(hub="https://hub.example.org")
        return Federated(
            Hub(client, storage), queue, client, defaults, own_keys, prefix, image=DIGEST, run=run
        )

    monkeypatch.setattr(Federated, "connect", classmethod(connect))
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": s3,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    directory = tmp_path / "workflow"
    directory.mkdir()
    prefix = f"s3://users/alice/{tmp_path.name}"

    def run(snakefile: str, *, retries: int = 0, containers: bool = False) -> bool:
        (directory / "Snakefile").write_text(snakefile)
        methods = frozenset({DeploymentMethod.APPTAINER} if containers else ())
        with api.SnakemakeApi(settings.OutputSettings(show_failed_logs=True)) as snakemake:
            try:
                snakemake.workflow(
                    resource_settings=settings.ResourceSettings(nodes=10, cores=None),
                    storage_settings=settings.StorageSettings(
                        default_storage_provider="s3",
                        default_storage_prefix=prefix,
                        shared_fs_usage=frozenset(),
                    ),
                    deployment_settings=settings.DeploymentSettings(deployment_method=methods),
                    workdir=directory,
                    snakefile=directory / "Snakefile",
                ).dag().execute_workflow(
                    executor="fallow",
                    executor_settings=ExecutorSettings(),
                    execution_settings=settings.ExecutionSettings(retries=retries),
                    remote_execution_settings=settings.RemoteExecutionSettings(),
                )
            except Exception as error:  # noqa: BLE001 - as the command line does
                snakemake.print_exception(error)
                return False
        return True

    here = Path.cwd()
    yield run
    os.chdir(here)


def content(s3: str, tmp_path: Path, name: str) -> str:
    import boto3

    client = boto3.client("s3", endpoint_url=s3, aws_access_key_id="key", aws_secret_access_key="secret")
    return client.get_object(Bucket="users", Key=f"alice/{tmp_path.name}/{name}")["Body"].read().decode()


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

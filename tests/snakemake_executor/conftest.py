import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from snakemake import api
from snakemake.settings import types as settings
from snakemake_interface_executor_plugins.settings import DeploymentMethod

from fallow.client import ClientSettings
from fallow.errors import FullError
from fallow.fits import FitAnswer, FitRequest
from fallow.hub import HubClient
from fallow.messages import ImageUpload, StorageAccess
from fallow.queue import JobRecord, JobSpec, JobState
from snakemake_executor_plugin_fallow import ExecutorSettings
from snakemake_executor_plugin_fallow.federation import Federated

from .server import served

DIGEST = "sha256:" + "0123456789abcdef" * 4


def a_record(**changes: Any) -> JobRecord:
    """The record of a job that waits, with changes."""
    plain = JobRecord(
        id="1.0", run="r", key="000001", name="map", state=JobState.WAITING, exit_code=None, exit_signal=None,
        hold_code=None, reason="", centre="alder", pilot="alder-1", starts=1, walltime_s=3600, submitted=100,
        started=110, finished=None,
    )  # fmt: skip
    return replace(plain, **changes)


class MemoryQueue:
    """A queue in memory. `lost` decides what becomes of a job; by default it waits until `finish`."""

    def __init__(self) -> None:
        self.records: dict[str, JobRecord] = {}
        self.specs: dict[str, JobSpec] = {}
        self.past: dict[str, JobRecord] = {}
        self.taken: list[str] = []
        self.removed: list[str] = []
        self.batches: list[int] = []
        self.failures: list[Exception] = []
        self.refusal: Callable[[JobSpec], Exception | None] = lambda spec: None
        self.room: int | None = None
        """How many jobs it takes; as many as come where nothing is said."""
        self.tries = 0
        self.queries = 0
        self.told: list[int] = []
        """How many jobs each query for all of them gave."""
        self.stderr = "fallow-job: started\n"
        self.on_submit: Callable[[JobSpec, str], None] = lambda spec, job: None
        self.on_query: Callable[[], object] = lambda: None

    def submit(self, specs: Sequence[JobSpec]) -> list[str]:
        if self.failures:
            raise self.failures.pop(0)
        self.tries += 1
        for spec in specs:
            if refusal := self.refusal(spec):
                raise refusal
        if self.room is not None and len(self.records) + len(specs) > self.room:
            raise FullError("The queue is full.")
        self.batches.append(len(specs))
        ids = [f"{len(self.batches)}.{number}" for number in range(len(specs))]
        for spec, job in zip(specs, ids, strict=True):
            self.specs[spec.key] = spec
            self.records[spec.key] = a_record(id=job, key=spec.key, name=spec.name, run=spec.run)
            self.on_submit(spec, job)
        return ids

    def status(self, run: str, *, ended: bool = False) -> dict[str, JobRecord]:
        self.queries += 1
        self.told += [len(self.records)] if not ended else []
        self.on_query()
        under_way = (JobState.WAITING, JobState.RUNNING) if ended else ()
        return {
            key: record
            for key, record in self.records.items()
            if record.run == run and record.state not in under_way
        }

    def history(self, ids: Sequence[str]) -> dict[str, JobRecord]:
        return {key: record for key, record in self.past.items() if record.id in ids}

    def remove(self, *, run: str | None = None, ids: Sequence[str] = (), reason: str = "") -> int:
        gone = [key for key, record in self.records.items() if record.run == run or record.id in ids]
        self.removed += [self.records.pop(key).id for key in gone]
        return len(gone)

    def take(self, ids: Sequence[str]) -> None:
        self.taken += ids

    def fetch(self, job: str, *, into: Path) -> None:
        (into / "stdout").write_text("")
        (into / "stderr").write_text(self.stderr)

    def change(self, key: str, **changes: Any) -> None:
        self.records[key] = replace(self.records[key], **changes)


class LocalQueue(MemoryQueue):
    """A queue that runs each job at once, as a process of this machine in a directory of its own."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.on_submit = self.run
        self.outputs: dict[str, Path] = {}

    def run(self, spec: JobSpec, job: str) -> None:
        sandbox = self.root / job
        sandbox.mkdir(parents=True)
        for file in spec.input_files:
            (sandbox / file.name).write_bytes(file.read_bytes())
        self.outputs[job] = sandbox

        def work() -> None:
            with (sandbox / "stdout").open("wb") as out, (sandbox / "stderr").open("wb") as err:
                process = subprocess.run(
                    [sys.executable, *spec.argv[1:]], cwd=sandbox, stdout=out, stderr=err, check=False
                )
            self.change(spec.key, state=JobState.FINISHED, exit_code=process.returncode, finished=120)

        threading.Thread(target=work).start()

    def fetch(self, job: str, *, into: Path) -> None:
        for name in ("stdout", "stderr"):
            (into / name).write_bytes((self.outputs[job] / name).read_bytes())


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real S3 server with the bucket `users`, which user `key` may use but not delete."""
    with served(tmp_path_factory.mktemp("s3")) as url:
        yield url


class Hub(HubClient):
    """A hub that has every image, gives everybody the same storage, and has room for everything unless told otherwise."""

    def __init__(self, settings: ClientSettings, access: StorageAccess) -> None:
        super().__init__(settings, token=lambda: pytest.fail("no token is needed"))
        self.access = access
        self.asked: list[int] = []
        self.published: dict[str, list[dict[str, Any]]] = {}
        self.answers: Callable[[Sequence[FitRequest]], Sequence[FitAnswer]] = lambda requests: [
            FitAnswer(fits=True, summary="It fits.") for _ in requests
        ]

    def fit(self, requests: Sequence[FitRequest], *, patient: bool = True) -> list[FitAnswer]:
        self.asked.append(len(requests))
        return list(self.answers(requests))

    def storage(self, below: str = "") -> StorageAccess:
        return self.access

    def image_upload(self, digest: str) -> ImageUpload | None:
        return None

    def ask(self, model: type[Any], method: str, path: str, document: str | None = None) -> Any:
        digest = path.split("/")[3]
        return model(digest=digest, bytes=1, published=self.published.get(digest, []))


@pytest.fixture
def queue(tmp_path: Path) -> LocalQueue:
    return LocalQueue(tmp_path / "nodes")


@pytest.fixture
def hub(s3: str) -> Hub:
    expires = datetime.now(UTC) + timedelta(hours=1)
    storage = StorageAccess(
        endpoint=s3, region="us-east-1", bucket="users", prefix="alice", access_key="key", secret_key="secret",
        expires=expires,
    )  # fmt: skip
    return Hub(ClientSettings(hub="https://hub.example.org"), storage)


@pytest.fixture
def workflow(
    s3: str, hub: Hub, queue: LocalQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., bool]]:
    """Runs a Snakefile through the executor; returns whether it succeeded."""
    import boto3

    def connect(cls: Any, chosen: Any, *, run: str, prefix: str | None, own_keys: bool) -> Federated:
        defaults = {"work_type": None, "centre": None, "requirements": None}
        client = ClientSettings(hub="https://hub.example.org")
        return Federated(hub, queue, client, defaults, own_keys, prefix, image=DIGEST, run=run)

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

    def run(
        snakefile: str,
        *,
        retries: int = 0,
        containers: bool = False,
        conda: bool = False,
        dry: bool = False,
        cores: int | None = None,
    ) -> bool:
        (directory / "Snakefile").write_text(snakefile)
        (directory / "env.yaml").write_text("dependencies: []\n")
        methods = frozenset(
            {DeploymentMethod.APPTAINER} if containers else {DeploymentMethod.CONDA} if conda else ()
        )
        with api.SnakemakeApi(settings.OutputSettings(show_failed_logs=True)) as snakemake:
            try:
                snakemake.workflow(
                    resource_settings=settings.ResourceSettings(nodes=10, cores=cores),
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
                    pseudo_executor="dryrun" if dry else None,
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

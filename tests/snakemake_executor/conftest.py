import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fallow.queue import JobRecord, JobSpec, JobState

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

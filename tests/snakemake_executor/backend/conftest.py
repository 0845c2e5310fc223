"""A backend with a queue in memory, and jobs for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.snakemake_executor.conftest import DIGEST, MemoryQueue

from fallow.messages import StorageAccess
from fallow.queue import JobSpec
from snakemake_executor_plugin_fallow.backend import Backend, Entry
from snakemake_executor_plugin_fallow.keys import Identity
from snakemake_executor_plugin_fallow.payload import Access, Payload
from snakemake_executor_plugin_fallow.spool import SpoolArea


def identity(number: int) -> Identity:
    """Of the job `number` of a test."""
    return Identity(f"{number:016x}", "c" * 16)


FIRST, AGAIN, ONCE_MORE = (identity(0).key(ended) for ended in range(3))
"""Keys of the first job's submissions."""

STORAGE = StorageAccess(
    endpoint="http://s3",
    region="r",
    bucket="b",
    prefix="p",
    access_key="key",
    secret_key="the-secret",
    expires=datetime.now(UTC) + timedelta(hours=1),
)
ACCESS = Access(STORAGE)


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue()


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def backend(queue: MemoryQueue, clock: list[float], tmp_path: Path) -> Backend:
    return Backend(
        queue, "r", access=lambda: ACCESS, spool=SpoolArea(tmp_path / "spool"), records=tmp_path, resubmissions=2,
        clock=lambda: clock[0],
    )  # fmt: skip


@pytest.fixture
def add(backend: Backend, tmp_path: Path) -> Callable[[int], list[Entry]]:
    def add(count: int) -> list[Entry]:
        entries = []
        for number in range(count):
            spec = JobSpec(
                run="r",
                key=backend.key(identity(number)),
                name=f"job {number}",
                image=DIGEST,
                argv=("python",),
                directory=tmp_path,
            )
            entries.append(
                Entry(
                    f"handle {number}", "rule", identity(number), spec, Payload(["--cores", "1"]), since=0.0
                )
            )
        backend.add(entries)
        return entries

    return add

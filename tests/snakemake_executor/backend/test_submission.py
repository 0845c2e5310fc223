"""Jobs are submitted in batches; what the hub refuses of one costs the others nothing."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.snakemake_executor.conftest import MemoryQueue

from fallow.errors import NotAvailableError, RefusedError, UsageError
from fallow.queue import JobSpec, JobState
from snakemake_executor_plugin_fallow.backend import GIVE_UP_SUBMITTING_S, Backend
from snakemake_executor_plugin_fallow.spool import DESCRIPTION


def test_all_ready_jobs_are_one_batch_and_polled_in_one_query(
    backend: Backend, queue: MemoryQueue, add: Any
) -> None:
    add(300)
    assert backend.submit() == []
    assert backend.poll() == []
    assert (queue.batches, queue.queries) == ([300], 1)


def test_one_refused_job_does_not_fail_the_others_of_its_batch(
    backend: Backend, queue: MemoryQueue, add: Any
) -> None:
    queue.refusal = lambda spec: RefusedError("Not this type.") if spec.work_type == "urgent" else None
    entries = add(4)
    entries[1].spec = entries[1].spec.model_copy(update={"work_type": "urgent"})
    events = backend.submit()
    assert [(event.handle, event.reason) for event in events] == [("handle 1", "Not this type.")]
    assert queue.batches == [3]


def test_what_the_hub_refuses_of_one_job_it_is_not_asked_for_each_job_that_asks_the_same(
    backend: Backend, queue: MemoryQueue, add: Any
) -> None:
    queue.refusal = lambda spec: RefusedError("Not this type.")
    add(200)
    assert {event.reason for event in backend.submit()} == {"Not this type."}
    assert queue.tries == 1
    assert backend.active == 0


def test_a_job_that_cannot_be_expressed_is_found_among_many(
    backend: Backend, queue: MemoryQueue, add: Any
) -> None:
    queue.refusal = lambda spec: UsageError("A bad name.") if spec.name == "job 70" else None
    add(100)
    assert [(event.handle, event.reason) for event in backend.submit()] == [("handle 70", "A bad name.")]
    assert sum(queue.batches) == 99
    assert queue.tries < 20


def test_jobs_wait_here_while_the_hub_is_away(
    backend: Backend, queue: MemoryQueue, add: Any, clock: list[float]
) -> None:
    queue.failures = [NotAvailableError("The hub is away.", retryable=True)]
    add(5)
    assert backend.submit() == []
    assert backend.poll() == []
    assert queue.batches == []
    clock[0] += 10
    backend.poll()
    assert queue.batches == [5]


def test_jobs_fail_when_the_hub_stays_away(
    backend: Backend, queue: MemoryQueue, add: Any, clock: list[float]
) -> None:
    queue.failures = [NotAvailableError("The hub is away.", retryable=True) for _ in range(2)]
    add(2)
    backend.submit()
    clock[0] += GIVE_UP_SUBMITTING_S + 1
    events = backend.poll()
    assert {event.handle for event in events} == {"handle 0", "handle 1"}
    assert "The hub is away." in events[0].reason
    assert backend.active == 0


def test_credentials_are_spooled_in_a_private_file_and_gone_afterwards(
    backend: Backend, queue: MemoryQueue, add: Any, tmp_path: Path
) -> None:
    seen: list[tuple[int, str, str]] = []

    def look(spec: JobSpec, job: str) -> None:
        [sent] = spec.input_files
        mode = stat.S_IMODE(sent.stat().st_mode)
        description = zipfile.ZipFile(sent).read(DESCRIPTION).decode()
        seen.append((mode, description, spec.model_dump_json()))

    queue.on_submit = look
    add(1)
    backend.submit()
    [(mode, text, ad)] = seen
    assert mode == 0o600
    assert "the-secret" in text
    assert "the-secret" not in ad
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"the-secret" in path.read_bytes()]


def test_what_a_full_queue_has_no_room_for_waits_here_as_long_as_it_takes(
    backend: Backend, queue: MemoryQueue, add: Any, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    queue.room = 30
    add(100)
    for _ in range(200):
        assert backend.submit() == []
        clock[0] += 30
    assert len(queue.records) == 30
    assert clock[0] > GIVE_UP_SUBMITTING_S
    for key in list(queue.records)[:20]:
        queue.change(key, state=JobState.FINISHED, exit_code=0)
    ended = len([event for event in backend.poll() if event.done])
    queue.room = 50
    for _ in range(10):
        clock[0] += 30
        assert backend.submit() == []
    assert ended == 20
    assert len(queue.records) == 50
    assert backend.active == 80
    assert [line.levelname for line in caplog.records if "room" in line.message].count("WARNING") == 1


def test_a_queue_that_stays_full_is_asked_for_one_job_at_a_time(
    backend: Backend, queue: MemoryQueue, add: Any, clock: list[float]
) -> None:
    queue.room = 0
    add(1000)
    backend.submit()
    first = queue.tries
    clock[0] += 30
    backend.submit()
    assert (first, queue.tries) == (10, 11)

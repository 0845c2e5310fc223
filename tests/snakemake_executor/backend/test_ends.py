"""Ends of jobs: each is found by a bounded query, reported once, and let go."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from tests.snakemake_executor.backend.conftest import AGAIN, FIRST
from tests.snakemake_executor.conftest import MemoryQueue

from fallow.queue import JobState
from snakemake_executor_plugin_fallow.backend import Backend


def test_a_job_that_ended_well_is_reported_and_given_up_by_the_queue(
    backend: Backend, queue: MemoryQueue, add: Any
) -> None:
    add(2)
    backend.submit()
    queue.change(FIRST, state=JobState.FINISHED, exit_code=0)
    assert [(event.handle, event.done, event.job) for event in backend.poll()] == [("handle 0", True, "1.0")]
    assert queue.taken == ["1.0"]
    assert backend.active == 1


def test_a_failed_rule_is_reported_once_with_what_it_wrote(
    backend: Backend, queue: MemoryQueue, add: Any
) -> None:
    add(1)
    backend.submit()
    queue.change(FIRST, state=JobState.FINISHED, exit_code=1)
    [event] = backend.poll()
    assert not event.done
    assert event.logs[1].read_text() == queue.stderr
    assert backend.poll() == []


def test_of_many_jobs_only_those_that_ended_are_asked_for_and_all_now_and_then(
    backend: Backend, queue: MemoryQueue, clock: list[float], add: Any
) -> None:
    add(1500)
    backend.submit()
    assert queue.batches == [1000, 500]
    assert backend.poll() == []
    clock[0] += 1
    queue.change(FIRST, state=JobState.FINISHED, exit_code=0)
    assert [event.handle for event in backend.poll()] == ["handle 0"]
    assert queue.told == [1500]
    clock[0] += 60
    assert backend.poll() == []
    assert queue.told == [1500, 1500]


def test_a_job_that_neither_waits_nor_has_ended_is_not_lost_before_all_are_asked_for(
    backend: Backend, queue: MemoryQueue, clock: list[float], add: Any
) -> None:
    add(600)
    backend.submit()
    backend.poll()
    for _ in range(10):
        clock[0] += 1
        assert backend.poll() == []
    assert backend.active == 600


def passes(clock: list[float], seconds: float) -> None:
    clock[0] += seconds


def test_the_pause_grows_with_what_a_query_takes_and_has_a_bound(
    backend: Backend, queue: MemoryQueue, clock: list[float], add: Any
) -> None:
    add(1)
    backend.submit()
    pauses = []
    for seconds in (0.1, 0.5, 10.0):
        queue.on_query = partial(passes, clock, seconds)
        backend.poll()
        pauses.append(backend.pause_s)
    assert pauses == [1.0, 2.0, 3.0]


def test_a_cancellation_during_a_poll_ends_what_the_poll_does_with_the_jobs(
    backend: Backend, queue: MemoryQueue, add: Any
) -> None:
    entries = add(3)
    backend.submit()
    for entry in entries:
        queue.change(entry.spec.key, state=JobState.FINISHED, exit_code=1)
    queue.on_query = lambda: backend.cancel() and None
    assert backend.poll() == []
    assert queue.taken == []
    assert len(queue.removed) == 3


def test_cancelling_removes_every_job_and_submits_none(
    backend: Backend, queue: MemoryQueue, add: Any
) -> None:
    add(4)
    backend.submit()
    add(2)
    assert backend.cancel() == 4
    assert backend.poll() == []
    assert queue.batches == [4]


def test_every_end_of_a_job_is_in_the_report(
    backend: Backend, queue: MemoryQueue, add: Any, tmp_path: Path
) -> None:
    add(1)
    backend.submit()
    queue.change(FIRST, state=JobState.REMOVED, reason="pilot gone")
    backend.poll()
    backend.poll()
    queue.change(AGAIN, state=JobState.FINISHED, exit_code=0, finished=170)
    backend.poll()
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [(line["outcome"], line["centre"], line["waited_s"], line["ran_s"]) for line in lines] == [
        ("lost", "alder", 10, None),
        ("done", "alder", 10, 60),
    ]

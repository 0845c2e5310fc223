"""A lost job is submitted again, a few times and elsewhere; no retry of its rule is spent on that."""

from __future__ import annotations

from typing import Any

import pytest
from tests.snakemake_executor.backend.conftest import AGAIN, FIRST, ONCE_MORE, identity
from tests.snakemake_executor.conftest import MemoryQueue

from fallow.hub import HubRefusedError
from fallow.queue import JobState
from snakemake_executor_plugin_fallow.backend import Backend


def test_a_job_that_the_killed_queue_never_let_go_is_submitted_again(
    backend: Backend, queue: MemoryQueue, add: Any, clock: list[float]
) -> None:
    clock[0] = 1000.0
    add(1)
    backend.submit()
    queue.change(FIRST, state=JobState.STAGING)
    clock[0] += 30
    backend.poll()
    assert queue.removed == []
    clock[0] += 31
    assert backend.poll() == []
    assert queue.removed == ["1.0"]
    backend.poll()
    queue.change(AGAIN, state=JobState.FINISHED, exit_code=0)
    assert [event.job for event in backend.poll()] == ["2.0"]


def test_a_lost_job_is_submitted_again_and_not_reported(
    backend: Backend, queue: MemoryQueue, add: Any, caplog: pytest.LogCaptureFixture
) -> None:
    add(1)
    backend.submit()
    queue.change(FIRST, state=JobState.HELD, hold_code=13, reason="no route to node")
    assert backend.poll() == []
    assert queue.removed == ["1.0"]
    assert "no route to node" in caplog.text
    assert backend.poll() == []
    queue.change(AGAIN, state=JobState.FINISHED, exit_code=0)
    [event] = backend.poll()
    assert (event.done, event.job) == (True, "2.0")


def test_resubmission_is_bounded_and_the_reason_told(
    backend: Backend, queue: MemoryQueue, clock: list[float], add: Any
) -> None:
    add(1)
    events = []
    for key in (FIRST, AGAIN, ONCE_MORE):
        events += backend.poll()
        clock[0] += 60
        events += backend.poll()
        queue.change(key, state=JobState.REMOVED, reason="pilot gone")
    events += backend.poll()
    [event] = events
    assert not event.done
    assert (
        event.reason
        == "the infrastructure lost the job 3 times, at last because the job was removed: pilot gone"
    )


def test_a_lost_job_goes_elsewhere_for_a_while(backend: Backend, queue: MemoryQueue, add: Any) -> None:
    [entry] = add(1)
    entry.requirements = "TARGET.HasFuse"
    backend.poll()
    queue.change(FIRST, state=JobState.FINISHED, exit_code=75, pilot="alder-7")
    backend.poll()
    backend.poll()
    asked = queue.specs[AGAIN].requirements
    assert asked is not None
    assert asked.startswith('(TARGET.HasFuse) && (TARGET.FallowPilot =!= "alder-7" || time() > ')


def test_the_second_loss_waits_for_what_failed_to_come_back(
    backend: Backend, queue: MemoryQueue, clock: list[float], add: Any
) -> None:
    add(1)
    for key in (FIRST, AGAIN):
        backend.poll()
        queue.change(key, state=JobState.FINISHED, exit_code=75)
        backend.poll()
    backend.poll()
    assert ONCE_MORE not in queue.records
    clock[0] += 10
    backend.poll()
    assert ONCE_MORE in queue.records


def test_a_user_who_is_logged_out_loses_no_job(
    backend: Backend, queue: MemoryQueue, clock: list[float], add: Any
) -> None:
    queue.failures = [HubRefusedError("The hub refused: the token expired.", status=401)]
    add(1)
    assert backend.poll() == []
    clock[0] += 60
    backend.poll()
    assert FIRST in queue.records


def test_long_waits_do_not_use_up_the_resubmissions(backend: Backend, queue: MemoryQueue, add: Any) -> None:
    add(1)
    for ended in range(5):
        assert backend.poll() + backend.poll() == []
        key = identity(0).key(ended)
        queue.change(key, state=JobState.FINISHED, exit_code=76, submitted=0, finished=7200)
    assert backend.active == 1


def test_a_container_that_did_not_start_spends_no_retry_of_the_rule(
    backend: Backend, queue: MemoryQueue, add: Any
) -> None:
    add(1)
    backend.submit()
    queue.stderr = "FATAL: no such image\n"
    queue.change(FIRST, state=JobState.FINISHED, exit_code=255)
    assert backend.poll() == []
    assert queue.taken == ["1.0"]
    backend.poll()
    assert list(queue.specs) == [FIRST, AGAIN]


def test_a_job_that_has_left_the_queue_is_looked_up_in_its_history(
    backend: Backend, queue: MemoryQueue, add: Any
) -> None:
    add(1)
    backend.submit()
    queue.change(FIRST, state=JobState.FINISHED, exit_code=0)
    queue.past[FIRST] = queue.records.pop(FIRST)
    assert [event.done for event in backend.poll()] == [True]


def test_one_empty_answer_of_the_queue_changes_nothing(
    backend: Backend, queue: MemoryQueue, add: Any
) -> None:
    add(1)
    backend.submit()
    hidden = queue.records.pop(FIRST)
    assert backend.poll() == []
    assert backend.poll() == []
    queue.records[FIRST] = hidden
    backend.poll()
    assert queue.batches == [1]


def test_a_job_that_nobody_knows_any_more_is_submitted_again(
    backend: Backend, queue: MemoryQueue, add: Any
) -> None:
    add(1)
    backend.submit()
    del queue.records[FIRST]
    for _ in range(4):
        assert backend.poll() == []
    assert queue.batches == [1, 1]

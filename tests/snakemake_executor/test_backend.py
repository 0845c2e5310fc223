import json
import stat
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fallow.errors import NotAvailableError, RefusedError, UsageError
from fallow.hub import HubRefusedError
from fallow.messages import StorageAccess
from fallow.queue import JobSpec, JobState
from snakemake_executor_plugin_fallow.backend import GIVE_UP_SUBMITTING_S, Backend, Entry
from snakemake_executor_plugin_fallow.keys import Identity
from snakemake_executor_plugin_fallow.payload import Access, Payload
from snakemake_executor_plugin_fallow.spool import DESCRIPTION, SpoolArea

from .conftest import DIGEST, MemoryQueue


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


def test_all_ready_jobs_are_one_batch_and_polled_in_one_query(
    backend: Backend, queue: MemoryQueue, add: Any
) -> None:
    add(300)
    assert backend.submit() == []
    assert backend.poll() == []
    assert (queue.batches, queue.queries) == ([300], 1)


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


def resumed(backend: Backend, queue: MemoryQueue, tmp_path: Path) -> Backend:
    """Another process that takes the run up."""
    return Backend(
        queue, "r", access=lambda: ACCESS, spool=SpoolArea(tmp_path / "spool"), records=tmp_path, resubmissions=2
    )  # fmt: skip


def test_a_killed_process_counts_for_the_next_one(
    backend: Backend, queue: MemoryQueue, add: Any, tmp_path: Path
) -> None:
    add(3)
    backend.submit()
    queue.change(FIRST, state=JobState.FINISHED, exit_code=1)
    backend.poll()
    queue.change(identity(1).key(0), state=JobState.HELD, hold_code=13)
    later = resumed(backend, queue, tmp_path)
    assert later.leftovers.find(later.over()) == 1
    assert [later.key(identity(number)) for number in range(3)] == [
        AGAIN,
        identity(1).key(0),
        identity(2).key(0),
    ]
    assert queue.removed == ["1.1"], "what is held is removed"


def test_what_would_make_the_same_files_is_removed_before_the_changed_job_is_submitted(
    backend: Backend, queue: MemoryQueue, add: Any, tmp_path: Path
) -> None:
    [_, unchanged] = add(2)
    backend.submit()
    later = resumed(backend, queue, tmp_path)
    later.leftovers.find(later.over())
    changed = Identity(identity(0).target, "d" * 16)
    spec = unchanged.spec.model_copy(update={"key": later.key(changed)})
    later.add([Entry("new", "rule", changed, spec, Payload([]), since=0.0)])
    later.submit()
    assert queue.removed == ["1.0"]
    assert sorted(queue.records) == sorted([identity(1).key(0), changed.key(0)])


def test_what_nobody_had_a_use_for_is_let_go(
    backend: Backend, queue: MemoryQueue, add: Any, tmp_path: Path
) -> None:
    add(2)
    backend.submit()
    queue.change(FIRST, state=JobState.FINISHED, exit_code=0)
    later = resumed(backend, queue, tmp_path)
    later.leftovers.find(later.over())
    later.leftovers.drop()
    assert (queue.taken, queue.removed) == (["1.0"], ["1.1"])

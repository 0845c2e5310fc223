"""The queues of two hubs as one, of which either may give no answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fallow.errors import NotAvailableError, UsageError
from fallow.queue import JobRecord, JobSpec, JobState
from fallow.queue.both import AWAY_S, Queues
from fallow.queue.ids import SECOND_FROM
from fallow.queue.records import record

ENDED = frozenset({JobState.STAGING, JobState.HELD, JobState.FINISHED, JobState.REMOVED})
"""What `ended` asks for."""


class One:
    """One queue in memory, which can be away."""

    def __init__(self, name: str, first: int) -> None:
        self.name = name
        self.away = False
        self.calls = 0
        self.held: dict[str, JobRecord] = {}
        self._next = first

    def _called(self) -> None:
        self.calls += 1
        if self.away:
            raise NotAvailableError(f"{self.name} is away.", retryable=True)

    def reach(self) -> None:
        if self.away:
            self._called()

    def keys(self, run: str) -> dict[str, str]:
        self._called()
        return {key: job.id for key, job in self.held.items() if job.run == run}

    def submit(self, specs: Sequence[JobSpec]) -> list[str]:
        self._called()
        for spec in specs:
            ad = {"ClusterId": self._next, "ProcId": 0, "FallowRun": spec.run, "FallowKey": spec.key}
            self.held[spec.key] = record({**ad, "JobStatus": 2, "QDate": self._next})
            self._next += 1
        return [self.held[spec.key].id for spec in specs]

    def status(self, run: str, *, ended: bool = False) -> dict[str, JobRecord]:
        self._called()
        there = {key: job for key, job in self.held.items() if job.run == run}
        return {key: job for key, job in there.items() if not ended or job.state in ENDED}

    def jobs(self, run: str | None = None) -> list[JobRecord]:
        self._called()
        return list(self.held.values())

    def remove(self, *, run: str | None = None, ids: Sequence[str] = (), reason: str = "") -> int:
        self._called()
        gone = [key for key, job in self.held.items() if job.run == run or job.id in ids]
        for key in gone:
            del self.held[key]
        return len(gone)

    def fetch(self, job: str, *, into: Path) -> None:
        self._called()
        raise NotAvailableError(f"{self.name} has no output of {job}.", retryable=True)


class Pair:
    """Two queues, of which new jobs go to the second, and a client's view of them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.first, self.second = One("queue@one", 1), One("queue@two", SECOND_FROM)
        self.client = self.another_client()

    def another_client(self) -> Queues:
        queues: list[Any] = [self.first, self.second]
        return Queues(queues, 1, clock=lambda: self.now)


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_new_jobs_go_to_ones_own_queue_and_its_numbers_say_so(
    pair: Pair, spec: Callable[..., JobSpec]
) -> None:
    assert pair.client.submit([spec()]) == [f"{SECOND_FROM}.0"]


def test_new_jobs_go_to_the_other_queue_while_ones_own_does_not_answer(
    pair: Pair, spec: Callable[..., JobSpec]
) -> None:
    pair.second.away = True
    assert pair.client.submit([spec()]) == ["1.0"]


def test_a_key_that_the_other_queue_has_is_not_submitted_again(
    pair: Pair, spec: Callable[..., JobSpec]
) -> None:
    there = pair.first.submit([spec(key="a")])
    assert pair.client.submit([spec(key="a"), spec(key="b")]) == [*there, f"{SECOND_FROM}.0"]


def test_a_key_that_this_client_gave_to_a_queue_is_not_given_to_the_other_while_that_is_away(
    pair: Pair, spec: Callable[..., JobSpec]
) -> None:
    there = pair.client.submit([spec(key="a")])
    pair.second.away = True
    assert pair.client.submit([spec(key="a"), spec(key="b")]) == [*there, "1.0"]


def test_a_key_whose_job_was_seen_to_be_of_no_use_is_given_to_the_other_queue(
    pair: Pair, spec: Callable[..., JobSpec]
) -> None:
    pair.client.submit([spec(key="a")])
    pair.second.held["a"] = replace(pair.second.held["a"], state=JobState.STAGING)
    pair.client.status("r1")
    pair.second.away = True
    assert pair.client.submit([spec(key="a")]) == ["1.0"]


def test_jobs_of_a_queue_that_went_away_are_what_they_were(pair: Pair, spec: Callable[..., JobSpec]) -> None:
    pair.client.submit([spec(key="a")])
    assert pair.client.status("r1")["a"].state is JobState.RUNNING
    pair.second.away = True
    assert pair.client.status("r1")["a"].state is JobState.RUNNING
    assert pair.client.silent == ("queue@two",)
    assert pair.client.status("r1", ended=True) == {}


def test_a_job_of_a_silent_queue_is_not_said_to_come_still(pair: Pair, spec: Callable[..., JobSpec]) -> None:
    [job] = pair.client.submit([spec()])
    [key] = pair.second.held
    pair.second.held[key] = replace(pair.second.held[key], state=JobState.STAGING)
    assert pair.client.status(spec().run)[key].state is JobState.STAGING
    pair.second.away = True
    assert pair.client.status(spec().run)[key].state is JobState.WAITING
    pair.second.away, pair.now = False, AWAY_S
    assert pair.client.status(spec().run)[key].state is JobState.STAGING, "it is known to be lost then"
    assert pair.client.status(spec().run)[key].id == job


def test_a_job_that_was_never_looked_at_waits_when_its_queue_went_away(
    pair: Pair, spec: Callable[..., JobSpec]
) -> None:
    pair.client.submit([spec(key="a")])
    pair.second.away = True
    assert pair.client.status("r1")["a"].state is JobState.WAITING


def test_where_both_queues_have_a_key_the_later_job_counts(pair: Pair, spec: Callable[..., JobSpec]) -> None:
    pair.first.submit([spec(key="a")])
    pair.second.submit([spec(key="a")])
    assert pair.client.status("r1")["a"].id == f"{SECOND_FROM}.0"


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("own", [0, 1])
def test_a_job_that_a_queue_was_lost_with_while_it_came_does_not_count_beside_the_one_that_runs(
    pair: Pair, spec: Callable[..., JobSpec], ended: bool, own: int
) -> None:
    queues: list[Any] = [pair.first, pair.second]
    client = Queues(queues, own, clock=lambda: pair.now)
    lost, other = queues[own], queues[1 - own]
    lost.submit([spec(key="a")])
    kept = replace(lost.held["a"], state=JobState.STAGING, submitted=100)
    lost.held, lost.away = {}, True
    [runs] = client.submit([spec(key="a")])
    other.held["a"] = replace(other.held["a"], submitted=100)
    pair.now += AWAY_S + 1
    lost.held, lost.away = {"a": kept}, False
    assert {job.id for job in client.status("r1", ended=ended).values()} <= {runs}
    assert {job.id for job in client.status("r1").values()} == {runs}


def test_a_listing_has_the_jobs_of_the_queue_that_answers_and_names_the_other(
    pair: Pair, spec: Callable[..., JobSpec]
) -> None:
    pair.first.submit([spec(key="a")])
    pair.second.away = True
    assert [job.id for job in pair.client.jobs()] == ["1.0"]
    assert pair.client.silent == ("queue@two",)


def test_a_queue_that_went_away_is_left_alone_for_a_while_and_asked_again(pair: Pair) -> None:
    pair.second.away = True
    pair.client.status("r1")
    pair.client.status("r1")
    assert pair.second.calls == 1
    pair.now += AWAY_S
    pair.second.away = False
    pair.client.status("r1")
    assert (pair.second.calls, pair.client.silent) == (2, ())


def test_where_neither_queue_answers_the_call_fails_and_both_are_asked_again(pair: Pair) -> None:
    pair.first.away = pair.second.away = True
    for _ in range(2):
        with pytest.raises(NotAvailableError, match="queue@two is away"):
            pair.client.jobs()
    assert (pair.first.calls, pair.second.calls) == (2, 2)


def test_a_run_is_removed_where_it_can_be_and_the_rest_is_said(
    pair: Pair, spec: Callable[..., JobSpec]
) -> None:
    pair.first.submit([spec(key="a")])
    pair.client.submit([spec(key="b")])
    assert pair.client.remove(ids=["1.0"]) == 1
    pair.first.submit([spec(key="a")])
    pair.second.away = True
    with pytest.raises(NotAvailableError, match="queue@two is away"):
        pair.client.remove(run="r1")
    assert pair.first.held == {}


def test_output_that_is_not_there_does_not_make_a_queue_silent(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(NotAvailableError, match="queue@one has no output"):
        pair.client.fetch("1.0", into=tmp_path)
    pair.client.jobs()
    assert pair.client.silent == ()


def test_what_is_not_a_job_id_is_of_no_queue(pair: Pair) -> None:
    with pytest.raises(UsageError, match="not a job id"):
        pair.client.history(["one"])

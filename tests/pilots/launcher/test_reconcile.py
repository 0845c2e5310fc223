"""News of pilots: only forwards, and absent is not ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow_pilots.batch.model import JobStatus, Phase
from fallow_pilots.outcome import Outcome
from fallow_pilots.reconcile import ABSENT_S, reconcile
from fallow_pilots.record import RANK, PilotRecord, State

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
BASE = PilotRecord("alder-1", State.QUEUED, 4, 0, 3600, NOW - timedelta(seconds=500), native_id="7")
WORKED = Outcome(code=200, reason="Work done.", started=NOW, ended=NOW, jobs_run=3, busy_core_s=40)


def job(phase: Phase, **values: Any) -> JobStatus:
    return replace(JobStatus("alder-1", "7", phase, "WORD"), **values)


def after(
    record: PilotRecord, news: JobStatus | None, outcome: Outcome | None = None, now: datetime = NOW
) -> PilotRecord:
    outcomes = {} if outcome is None else {record.pilot: outcome}
    jobs = {} if news is None else {record.pilot: news}
    changed = reconcile([record], jobs, outcomes, now)
    return changed[0] if changed else record


def test_a_job_that_starts_makes_its_pilot_run() -> None:
    started = NOW - timedelta(seconds=9)
    record = after(BASE, job(Phase.RUNNING, started=started, node="n1"))
    assert (record.state, record.started, record.node) == (State.RUNNING, started, "n1")


def test_a_start_in_the_future_counts_from_now() -> None:
    record = after(BASE, job(Phase.RUNNING, started=NOW + timedelta(hours=1)))
    assert record.started == NOW


def test_a_requeued_job_does_not_make_its_pilot_wait_again() -> None:
    running = replace(BASE, state=State.RUNNING, started=NOW)
    assert after(running, job(Phase.QUEUED)).state is State.RUNNING


def test_an_ended_job_ends_its_pilot_with_the_batch_systems_word() -> None:
    record = after(BASE, job(Phase.ENDED, detail="PREEMPTED"))
    assert (record.state, record.ended, record.reason) == (State.ENDED, NOW, "Batch: PREEMPTED.")


def test_an_outcome_says_how_a_pilot_ended() -> None:
    record = after(BASE, job(Phase.ENDED), WORKED)
    assert (record.code, record.reason, record.jobs_run, record.busy_core_s) == (200, "Work done.", 3, 40)


def test_a_pilot_with_an_outcome_holds_its_node_until_the_batch_system_frees_it() -> None:
    record = after(BASE, job(Phase.RUNNING), WORKED)
    assert (record.state, record.code) == (State.RUNNING, 200)


def test_a_late_outcome_is_added_to_an_ended_pilot() -> None:
    over = replace(BASE, state=State.ENDED, ended=NOW)
    record = after(over, None, WORKED, NOW + timedelta(seconds=60))
    assert (record.state, record.code, record.ended) == (State.ENDED, 200, NOW)


def test_a_pilot_that_the_batch_system_does_not_mention_has_not_ended() -> None:
    record = after(BASE, None)
    assert (record.state, record.absent_since) == (State.QUEUED, NOW)


def test_a_pilot_that_is_absent_for_long_is_lost() -> None:
    absent = replace(BASE, absent_since=NOW - timedelta(seconds=ABSENT_S))
    record = after(absent, None)
    assert (record.state, record.ended) == (State.LOST, absent.absent_since)


def test_a_pilot_that_is_absent_and_left_an_outcome_has_ended() -> None:
    assert after(BASE, None, WORKED).state is State.ENDED


@pytest.mark.parametrize(("phase", "state"), [(Phase.QUEUED, State.QUEUED), (Phase.RUNNING, State.RUNNING)])
def test_a_lost_pilot_that_reappears_is_active_again(phase: Phase, state: State) -> None:
    lost = replace(BASE, state=State.LOST, ended=NOW, absent_since=NOW)
    record = after(lost, job(phase))
    assert (record.state, record.ended, record.absent_since) == (state, None, None)


def test_a_pilot_that_was_never_submitted_is_nobodys_failure() -> None:
    intent = replace(BASE, state=State.INTENT, native_id=None, absent_since=NOW - timedelta(seconds=ABSENT_S))
    record = after(intent, None)
    assert record.state is State.LOST
    assert not record.fizzled(600)


def test_a_submission_that_comes_through_after_all_is_not_forgotten() -> None:
    lost = replace(BASE, state=State.LOST, native_id=None, ended=NOW, absent_since=NOW)
    record = after(lost, job(Phase.RUNNING))
    assert (record.state, record.native_id) == (State.RUNNING, "7")


def test_a_pilot_whose_submission_failed_counts_as_a_fizzle() -> None:
    absent_since = NOW - timedelta(seconds=ABSENT_S)
    failed = replace(
        BASE,
        state=State.INTENT,
        native_id=None,
        absent_since=absent_since,
        reason="Not submitted: no partition",
    )
    record = after(failed, None)
    assert record.state is State.LOST
    assert record.fizzled(600)


def test_an_intent_that_turns_up_in_the_queue_gets_its_native_id() -> None:
    intent = replace(BASE, state=State.INTENT, native_id=None)
    record = after(intent, job(Phase.QUEUED, native_id="99"))
    assert (record.state, record.native_id) == (State.QUEUED, "99")


def test_a_clock_that_jumps_back_does_not_make_a_pilot_lost() -> None:
    absent = replace(BASE, absent_since=NOW + timedelta(hours=1))
    record = after(absent, None)
    assert (record.state, record.absent_since) == (State.QUEUED, NOW)


JOBS = st.one_of(st.none(), st.sampled_from(Phase).map(job))
NEWS = st.lists(st.tuples(JOBS, st.one_of(st.none(), st.just(WORKED)), st.integers(0, 300)), max_size=12)


@given(NEWS)
def test_whatever_the_news_an_ended_pilot_stays_ended_and_none_goes_backwards(
    news: list[tuple[JobStatus | None, Outcome | None, int]],
) -> None:
    record, now = replace(BASE, state=State.INTENT, native_id=None), NOW
    for said, outcome, passed_s in news:
        now += timedelta(seconds=passed_s)
        updated = after(record, said, outcome, now)
        assert RANK[updated.state] >= RANK[record.state] or record.state is State.LOST
        assert (updated.ended is None) == updated.active
        record = updated

from typing import Any

import pytest

from fallow.queue import JobState
from fallow.queue.records import record

BASE = {"ClusterId": 3, "ProcId": 1, "FallowRun": "r", "FallowKey": "k", "FallowName": "n", "QDate": 100}


@pytest.mark.parametrize(
    ("ad", "state"),
    [
        ({"JobStatus": 1}, JobState.WAITING),
        ({"JobStatus": 2}, JobState.RUNNING),
        ({"JobStatus": 6}, JobState.RUNNING),
        ({"JobStatus": 7}, JobState.RUNNING),
        ({"JobStatus": 5, "HoldReasonCode": 16}, JobState.STAGING),
        ({"JobStatus": 5, "HoldReasonCode": 13}, JobState.HELD),
        ({"JobStatus": 4, "ExitCode": 0}, JobState.FINISHED),
        ({"JobStatus": 3}, JobState.REMOVED),
        ({}, JobState.WAITING),
    ],
)
def test_the_state_follows_the_job_status(ad: dict[str, Any], state: JobState) -> None:
    assert record({**BASE, **ad}).state is state


def test_a_job_that_a_signal_ended_has_no_exit_code() -> None:
    made = record({**BASE, "JobStatus": 4, "ExitBySignal": True, "ExitSignal": 9, "ExitCode": 0})
    assert (made.exit_code, made.exit_signal, made.succeeded) == (None, 9, False)


def test_only_a_finished_job_has_an_exit_code() -> None:
    assert record({**BASE, "JobStatus": 2, "ExitCode": 0}).exit_code is None


def test_times_are_counted_from_the_last_start() -> None:
    made = record(
        {**BASE, "JobStatus": 4, "ExitCode": 0, "JobCurrentStartExecutingDate": 130, "CompletionDate": 190}
    )
    assert (made.waited_s, made.ran_s) == (30, 60)


def test_times_that_are_not_known_are_none() -> None:
    made = record({**BASE, "JobStatus": 1, "CompletionDate": 0})
    assert (made.waited_s, made.ran_s) == (None, None)


def test_values_of_a_strange_type_count_as_absent() -> None:
    made = record(
        {**BASE, "JobStatus": 4, "ExitCode": "0", "FallowName": 7, "MachineAttrFallowCentre0": None}
    )
    assert (made.exit_code, made.name, made.centre, made.succeeded) == (None, "", None, False)


def test_a_job_stopped_at_its_walltime_is_known_as_such() -> None:
    assert record({**BASE, "JobStatus": 5, "HoldReasonCode": 47}).over_walltime

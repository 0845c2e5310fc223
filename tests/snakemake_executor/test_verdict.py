from typing import Any

import pytest

from fallow.queue import JobState
from snakemake_executor_plugin_fallow.verdict import Judgement, Verdict, elsewhere, judge, reconsider

from .conftest import a_record


@pytest.mark.parametrize("state", [JobState.STAGING, JobState.WAITING, JobState.RUNNING])
def test_a_job_that_waits_or_runs_is_active(state: JobState) -> None:
    assert judge(a_record(state=state)).verdict is Verdict.ACTIVE


def test_a_job_that_is_still_coming_after_a_while_is_lost() -> None:
    assert judge(a_record(state=JobState.STAGING), 60).verdict is Verdict.ACTIVE
    assert judge(a_record(state=JobState.STAGING), 61).verdict is Verdict.LOST
    assert judge(a_record(state=JobState.WAITING), 61).verdict is Verdict.ACTIVE


def test_a_job_that_ended_well_is_done() -> None:
    assert judge(a_record(state=JobState.FINISHED, exit_code=0)) == Judgement(Verdict.DONE)


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({"state": JobState.FINISHED, "exit_code": 1}, Verdict.FAILED, "exit code 1"),
        ({"state": JobState.FINISHED, "exit_signal": 9}, Verdict.FAILED, "signal 9"),
        ({"state": JobState.FINISHED, "exit_code": 75}, Verdict.LOST, "could not be set up"),
        (
            {"state": JobState.HELD, "hold_code": 34, "reason": "memory"},
            Verdict.FAILED,
            "out of memory or disk: memory",
        ),
        (
            {
                "state": JobState.HELD,
                "hold_code": 21,
                "hold_subcode": 102,
                "reason": "Error from slot1_2@a-1@n: used 900 MB",
            },
            Verdict.FAILED,
            "out of memory (mem_mb): used 900 MB",
        ),
        (
            {"state": JobState.HELD, "hold_code": 21, "hold_subcode": 104, "reason": "full"},
            Verdict.FAILED,
            "out of disk (disk_mb): full",
        ),
        ({"state": JobState.HELD, "hold_code": 21, "reason": "no"}, Verdict.LOST, "on hold: no"),
        ({"state": JobState.HELD, "hold_code": 47}, Verdict.FAILED, "out of time"),
        ({"state": JobState.HELD, "hold_code": 26, "reason": "no"}, Verdict.FAILED, "policy"),
        ({"state": JobState.HELD, "hold_code": 1}, Verdict.ACTIVE, "on hold"),
        ({"state": JobState.HELD, "hold_code": 13, "reason": "disk full"}, Verdict.LOST, "disk full"),
        ({"state": JobState.HELD, "hold_code": None}, Verdict.LOST, "on hold"),
        ({"state": JobState.REMOVED, "reason": "by admin"}, Verdict.LOST, "by admin"),
    ],
)
def test_a_failed_rule_is_told_from_failed_infrastructure(
    changes: dict[str, Any], verdict: Verdict, reason: str
) -> None:
    judgement = judge(a_record(**changes))
    assert judgement.verdict is verdict
    assert reason in judgement.reason


def test_a_job_that_nobody_knows_is_lost() -> None:
    assert judge(None).verdict is Verdict.LOST


def test_a_job_whose_container_never_came_up_is_lost() -> None:
    record = a_record(state=JobState.FINISHED, exit_code=255)
    made = reconsider(judge(record), record, "FATAL: container creation failed\n")
    assert made == Judgement(Verdict.LOST, "the container did not start: FATAL: container creation failed")


def test_a_rule_that_failed_after_the_container_came_up_failed() -> None:
    record = a_record(state=JobState.FINISHED, exit_code=255)
    assert reconsider(judge(record), record, "fallow-job: started\nboom\n").verdict is Verdict.FAILED


def test_the_wrappers_own_words_are_the_reason_of_a_job_it_gave_up() -> None:
    record = a_record(state=JobState.FINISHED, exit_code=75)
    made = reconsider(judge(record), record, "fallow-job: started\nfallow-job: no credentials\n")
    assert made == Judgement(Verdict.LOST, "fallow-job: no credentials")


def test_without_its_output_a_failed_job_stays_failed() -> None:
    record = a_record(state=JobState.FINISHED, exit_code=1)
    assert reconsider(judge(record), record, None).verdict is Verdict.FAILED


@pytest.mark.parametrize(("finished", "counted"), [(105, True), (9000, False)])
def test_credentials_that_expired_in_a_long_wait_are_nobodys_failure(finished: int, counted: bool) -> None:
    judgement = judge(a_record(state=JobState.FINISHED, exit_code=76, submitted=100, finished=finished))
    assert (judgement.verdict, judgement.counted) == (Verdict.LOST, counted)


@pytest.mark.parametrize(
    "said", ["MemoryError", "sh: Cannot allocate memory", "returned non-zero exit status 137."]
)
def test_a_rule_that_could_get_no_memory_is_told_so(said: str) -> None:
    record = a_record(state=JobState.FINISHED, exit_code=1)
    judgement = reconsider(judge(record), record, f"fallow-job: started\n{said}\n")
    assert judgement.verdict is Verdict.FAILED
    assert "out of memory (mem_mb)" in judgement.reason


def test_a_loss_without_a_pilot_changes_no_requirements() -> None:
    assert elsewhere("TARGET.X", None, 0) == "TARGET.X"
    assert elsewhere(None, a_record(pilot=None), 0) is None


def test_a_pilots_name_that_is_not_one_never_becomes_an_expression() -> None:
    assert elsewhere(None, a_record(pilot='a" || true || "'), 0) is None

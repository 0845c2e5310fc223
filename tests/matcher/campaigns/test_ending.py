"""What the queue says of a job, as the class and the signature of a failure."""

from __future__ import annotations

from typing import Any

import pytest

from fallow_matcher.campaigns.ending import Fault, finished, gone, held, signature

TURNED_AWAY = "fallow: this job was not started: the hub has no image sha256:" + 64 * "b" + ".\n"


@pytest.mark.parametrize(
    ("ad", "stderr", "fault", "elsewhere"),
    [
        ({"ExitCode": 0}, "", None, False),
        ({"ExitCode": 1}, "FATAL: told by the program", Fault.EXIT, False),
        ({"ExitCode": 126}, TURNED_AWAY, Fault.IMAGE, False),
        ({"ExitCode": 255}, "fallow-apptainer: the image sha256:aa cannot be had here\n", Fault.IMAGE, True),
        ({"ExitCode": 255}, "FATAL:   container creation failed: mount error\n", Fault.NODE, True),
        ({"ExitCode": 255}, "the program's own", Fault.EXIT, False),
        ({"ExitBySignal": True, "ExitSignal": 9}, "", Fault.SIGNAL, False),
        ({"ExitCode": 139}, "", Fault.SIGNAL, False),
        ({"ExitCode": 200}, "", Fault.EXIT, False),
        ({}, "", Fault.NODE, True),
    ],
)
def test_a_finished_job_has_a_class(
    ad: dict[str, Any], stderr: str, fault: Fault | None, elsewhere: bool
) -> None:
    end = finished(ad, stderr)
    assert (end.fault, end.elsewhere) == (fault, elsewhere)


@pytest.mark.parametrize(
    ("ad", "fault", "elsewhere"),
    [
        ({"HoldReasonCode": 47}, Fault.WALLTIME, False),
        ({"HoldReasonCode": 21, "HoldReasonSubCode": 105}, Fault.WALLTIME, False),
        ({"HoldReasonCode": 21, "HoldReasonSubCode": 7}, Fault.NODE, True),
        ({"HoldReasonCode": 34, "HoldReason": "Disk usage exceeded"}, Fault.DISK, False),
        (
            {"HoldReasonCode": 12, "HoldReason": "reading out.txt: No such file or directory"},
            Fault.STAGING,
            False,
        ),
        ({"HoldReasonCode": 13, "HoldReason": "Transfer input files failure"}, Fault.STAGING, True),
        ({"HoldReasonCode": 6}, Fault.NODE, True),
    ],
)
def test_a_held_job_has_a_class(ad: dict[str, Any], fault: Fault, elsewhere: bool) -> None:
    end = held(ad)
    assert end is not None
    assert (end.fault, end.elsewhere) == (fault, elsewhere)


@pytest.mark.parametrize("code", [1, 16])
def test_a_job_on_hold_by_its_owner_or_for_its_files_has_not_ended(code: int) -> None:
    assert held({"HoldReasonCode": code}) is None


def test_a_job_that_nobody_knows_is_run_elsewhere() -> None:
    assert gone(None).elsewhere
    assert gone({"JobStatus": 4, "ExitCode": 0}).fault is None
    assert gone({"JobStatus": 3, "RemoveReason": "via condor_rm"}).fault is Fault.REMOVED


def test_reasons_that_are_alike_have_one_signature() -> None:
    one = (
        "Error from slot1_2@alder-7n0@alder-1: cannot read /scratch/fallow-1/execute/dir_12/out.txt (errno 2)"
    )
    other = "Error from slot2_1@alder-9n1@alder-2: cannot read /scratch/fallow-8/execute/dir_977/out.txt (errno 2)"
    assert signature(one) == signature(other)
    assert len(signature("x" * 1000)) <= 120

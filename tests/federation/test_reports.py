"""Reports of pilots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from fallow.reports import MAX_RUNS, JobRun, PilotReport, RunEnd

START = datetime(2026, 1, 1, tzinfo=UTC)


def run(**changes: Any) -> JobRun:
    fields: dict[str, Any] = {
        "job": "12.0",
        "global_job_id": "queue@hub#12.0#1767225600",
        "started": START,
        "ended": START + timedelta(seconds=30),
        "cores": 1,
        "outcome": RunEnd.DONE,
        "exit_code": 0,
    }
    return JobRun.model_validate({**fields, **changes})


def report(**changes: Any) -> PilotReport:
    fields: dict[str, Any] = {"pilot": "alder-7", "centre": "alder", "written": START, "started": START}
    return PilotReport.model_validate({**fields, **changes})


def test_a_report_survives_its_way_as_json() -> None:
    sent = report(ended=START + timedelta(seconds=60), code=200, reason="The pilot ran 1 jobs.", runs=[run()])
    assert PilotReport.model_validate_json(sent.model_dump_json()) == sent


@pytest.mark.parametrize("pilot", ["alder-7", "alder-7n2"])
def test_every_node_of_a_pilot_job_may_report(pilot: str) -> None:
    assert report(pilot=pilot).pilot == pilot


def test_a_centre_whose_name_begins_like_anothers_is_another() -> None:
    assert report(pilot="alder-12-3", centre="alder-12").centre == "alder-12"
    with pytest.raises(ValidationError, match="not of centre alder"):
        report(pilot="alder-12-3", centre="alder")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pilot", "birch-7"),
        ("pilot", "alder-7/../birch-8"),
        ("reason", "two\nlines"),
        ("code", 200),
        ("ended", START),
        ("used_core_s", -1),
    ],
)
def test_a_report_that_could_not_be_meant_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        report(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("job", "12"), ("job", "12.0; rm"), ("global_job_id", "two words"), ("ended", START - timedelta(1))],
)
def test_a_run_that_could_not_be_meant_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        run(**{field: value})


def test_a_full_report_fits_into_the_gateways_limit_for_bodies() -> None:
    longest = run(job=f"{10**17}.{10**17}", global_job_id="x" * 200, gpus=8)
    full = report(runs=[longest] * MAX_RUNS, reason="ä" * 2000)
    assert len(full.model_dump_json().encode()) < 256 * 1024

"""`fallow ledger`: exports, verification and what the command prints."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from fallow.commands.ledger import moment
from fallow.errors import UsageError
from fallow.ledger.export import apel, auditor
from fallow.ledger.messages import Line
from fallow.ledger.verify import read_reports, share, verify
from fallow.reports import JobRun, PilotReport, RunEnd

START = datetime(2026, 11, 30, 23, 50, tzinfo=UTC)


def line(number: int = 1, *, wall_s: float = 100, **changes: Any) -> Line:
    """A line of a run at `south` for `north`."""
    values: dict[str, Any] = {
        "number": number,
        "global_job_id": f"queue@hub#{number}.0#1",
        "run": 1,
        "job": f"{number}.0",
        "provider": "south",
        "pilot": "south-1",
        "consumer": "north",
        "user": "alice",
        "work_type": "analysis",
        "resource_class": "cpu",
        "cores": 2,
        "gpus": 0,
        "factor": 1.5,
        "requested_s": 600,
        "submitted": START,
        "started": START,
        "ended": START + timedelta(seconds=wall_s),
        "wall_s": wall_s,
        "cpu_s": 90.0,
        "outcome": "done",
        "reason": "",
        "value": 300.0,
    }
    return Line(**{**values, **changes})


def report(*numbers: int, **changes: Any) -> PilotReport:
    """The report of `south-1` with runs as `line` has them."""
    runs = [
        JobRun(
            job=f"{number}.0",
            global_job_id=f"queue@hub#{number}.0#1",
            started=START,
            ended=START + timedelta(seconds=100),
            cores=2,
            outcome=RunEnd.DONE,
        )
        for number in numbers
    ]
    values = {"pilot": "south-1", "centre": "south", "written": START, "started": START, "runs": runs}
    return PilotReport(**{**values, **changes})


def test_an_apel_summary_sums_up_a_month_of_one_group() -> None:
    said = list(apel([line(1), line(2)], sites={"south": "SOUTH-HPC"}, submit_host="queue@hub"))
    assert said[0] == "APEL-summary-job-message: v0.3"
    assert said[-1] == "%%"
    record = dict(text.split(": ", 1) for text in said[1:-1])
    assert (record["Site"], record["Month"], record["Year"]) == ("SOUTH-HPC", "11", "2026")
    assert (record["VOGroup"], record["VORole"]) == ("/fallow/north", "Role=analysis")
    assert (record["WallDuration"], record["NormalisedWallDuration"]) == ("200", "300")
    assert (record["Processors"], record["NumberOfJobs"]) == ("2", "2")


def test_an_apel_summary_has_each_job_in_the_month_of_its_end() -> None:
    said = list(apel([line(1), line(2, wall_s=600)], sites={}, submit_host="queue@hub"))
    assert [text for text in said if text.startswith("Month")] == ["Month: 11", "Month: 12"]


def test_an_apel_summary_leaves_out_what_goes_on() -> None:
    going = line(1, ended=None, wall_s=0).model_copy(update={"wall_s": None, "ended": None})
    assert list(apel([going], sites={}, submit_host="h")) == ["APEL-summary-job-message: v0.3"]


def test_an_auditor_record_names_run_parts_and_moments() -> None:
    (said,) = auditor([line(1, gpus=4)])
    record = json.loads(said)
    assert record["record_id"] == "fallow-queue@hub#1.0#1-1"
    assert record["components"] == [
        {"name": "Cores", "amount": 2, "scores": [{"name": "benchmark", "value": 1.5}]},
        {"name": "GPUs", "amount": 4, "scores": [{"name": "benchmark", "value": 1.5}]},
    ]
    assert record["meta"]["site_id"] == ["south"]
    assert record["start_time"] == "2026-11-30T23:50:00+00:00"
    assert record["stop_time"] == "2026-11-30T23:51:40+00:00"


def test_no_text_of_an_auditor_record_holds_what_auditor_refuses() -> None:
    (said,) = auditor([line(1, user='a/(b)"<c>\\{d}')])
    assert json.loads(said)["meta"]["user_id"] == ["a__b___c___d_"]


def test_lines_that_agree_with_a_pilots_report_are_verified() -> None:
    verdict = verify(report(1, 2), [line(1, wall_s=101), line(2)])
    assert (verdict.good, verdict.runs) == (True, 2)
    assert share([verdict]) == 0


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([], "job 1.0: the hub does not have this run"),
        ([line(1), line(2)], "job 2.0: the hub has a run that the pilot does not know"),
        ([line(1, wall_s=150)], "job 1.0: 150 s at the hub, 100 s here"),
        ([line(1, cores=1)], "job 1.0: 1 cores at the hub, 2 here"),
        ([line(1, outcome="lost")], "job 1.0: lost at the hub, done here"),
        ([line(1, outcome="running")], "job 1.0: the hub says that it still runs"),
    ],
)
def test_a_line_that_does_not_agree_is_named(lines: list[Line], problem: str) -> None:
    verdict = verify(report(1), lines)
    assert problem in verdict.problems


def test_the_reports_of_all_pilots_below_a_directory_are_read(tmp_path: Path) -> None:
    for name in ("south-1", "south-2n0"):
        place = tmp_path / "pilots" / name
        place.mkdir(parents=True)
        (place / f"{name}.report.json").write_text(report(pilot=name).model_dump_json())
    assert [found.pilot for found in read_reports(tmp_path)] == ["south-1", "south-2n0"]


def test_a_directory_without_reports_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No pilot left a report"):
        read_reports(tmp_path)


def test_a_file_that_is_no_report_is_named(tmp_path: Path) -> None:
    (tmp_path / "south-1.report.json").write_text("{}")
    with pytest.raises(UsageError, match="is no pilot's report"):
        read_reports(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-30T23:50:00Z", START),
        ("2026-11-30T23:50", START),
        ("2026-12-01T00:50:00+01:00", START),
        ("2026-11-30", START.replace(hour=0, minute=0)),
    ],
)
def test_a_moment_is_utc_unless_it_says_otherwise(text: str, expected: datetime) -> None:
    context = click.Context(click.Command("x"))
    assert moment(context, click.Option(["--since"]), text) == expected.timestamp()


def test_what_is_no_moment_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="no moment"):
        moment(click.Context(click.Command("x")), click.Option(["--since"]), "yesterday")

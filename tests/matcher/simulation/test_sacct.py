"""A dump of Slurm's accounting as a workload."""

from __future__ import annotations

from pathlib import Path

import pytest

from fallow.errors import SettingsError
from fallow_matcher.simulation import sacct
from fallow_matcher.simulation.workload import Job

HEAD = "JobID|Submit|Start|ElapsedRaw|TimelimitRaw|AllocCPUS|AllocTRES|State"


def dump(path: Path, *lines: str, head: str = HEAD) -> Path:
    found = path / "sacct.txt"
    found.write_text("\n".join([head, *lines]) + "\n")
    return found


def line(**fields: str) -> str:
    usual = {
        "JobID": "7",
        "Submit": "2026-10-01T00:01:40",
        "Start": "2026-10-01T00:02:40",
        "ElapsedRaw": "600",
        "TimelimitRaw": "60",
        "AllocCPUS": "4",
        "AllocTRES": "cpu=4,mem=8G,node=1",
        "State": "COMPLETED",
    }
    return "|".join({**usual, **fields}.values())


def test_a_line_is_a_job(tmp_path: Path) -> None:
    found = sacct.read(dump(tmp_path, line()), "alder")

    assert found.jobs == [Job("alder", 1_790_812_900.0, 600.0, 3600.0, 4)]
    assert found.waited_s == 60


def test_gpus_are_counted_by_their_model(tmp_path: Path) -> None:
    tres = "billing=8,cpu=4,gres/gpu:A100=2,gres/gpu=2,node=1"
    (job,) = sacct.read(dump(tmp_path, line(AllocTRES=tres)), "alder").jobs

    assert (job.resource_class, job.units) == ("a100", 2)


@pytest.mark.parametrize(
    "fields",
    [
        {"JobID": "7.batch"},
        {"ElapsedRaw": "0"},
        {"State": "RUNNING"},
        {"State": "PENDING", "ElapsedRaw": "0"},
    ],
)
def test_steps_and_jobs_without_an_end_are_left_out(tmp_path: Path, fields: dict[str, str]) -> None:
    found = sacct.read(dump(tmp_path, line(), line(**fields)), "alder")

    assert (len(found.jobs), found.skipped) == (1, 1)


def test_without_a_limit_a_job_asked_for_what_it_took(tmp_path: Path) -> None:
    (job,) = sacct.read(dump(tmp_path, line(TimelimitRaw="UNLIMITED")), "alder").jobs

    assert job.requested_s == 600


def test_columns_are_found_by_their_names(tmp_path: Path) -> None:
    path = dump(tmp_path, "2|90|2026-10-01T00:00:00", head="AllocCPUS|ElapsedRaw|Submit")
    found = sacct.read(path, "alder")

    assert [(job.units, job.wall_s) for job in found.jobs] == [(2, 90)]
    assert found.waited_s is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"Submit": "yesterday"}, "line 3: 'yesterday' is no moment"),
        ({"Submit": "Unknown"}, "line 3: 'Unknown' is no moment"),
        ({"ElapsedRaw": "ten"}, "line 3: ElapsedRaw is 'ten', not a whole number"),
        ({"AllocCPUS": "-4"}, "line 3: AllocCPUS is '-4'"),
        ({"State": "COMPLETED|more"}, "line 3: 9 fields where the first line names 8"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, fields: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said.replace("|", r"\|")):
        sacct.read(dump(tmp_path, line(), line(**fields)), "alder")


def test_a_dump_without_a_needed_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="line 1: no column Submit, AllocCPUS"):
        sacct.read(dump(tmp_path, head="JobID|ElapsedRaw"), "alder")


def test_a_dump_without_jobs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has no job that ran"):
        sacct.read(dump(tmp_path), "alder")


def test_a_dump_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Cannot read the dump"):
        sacct.read(tmp_path / "none.txt", "alder")

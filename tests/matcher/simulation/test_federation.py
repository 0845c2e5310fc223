"""A federation that might be: its file and the workload that follows from it."""

from __future__ import annotations

import random
from pathlib import Path
from statistics import mean

import pytest

from fallow.errors import SettingsError
from fallow_matcher.simulation.federation import read
from fallow_matcher.simulation.generate import DAY_S, Stream, draw
from fallow_matcher.simulation.workload import Pilots

DUMP = "Submit|ElapsedRaw|AllocCPUS\n" + "".join(
    f"2026-10-{day:02}T{hour:02}:30:00|3600|2\n" for day in range(1, 11) for hour in range(24)
)
ALDER = 'mine = "alder"\n[centres.alder]\ncores = 10\n'


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "sacct.txt"
    path.write_text(DUMP)
    return path


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "capacity.toml"
    path.write_text(text)
    return path


def test_my_jobs_come_from_my_dump_and_begin_on_the_first_day(tmp_path: Path, mine: Path) -> None:
    found = read(written(tmp_path, ALDER), mine, seed=1)

    assert (found.mine, len(found.workload.jobs)) == ("alder", 240)
    assert found.workload.jobs[0].submitted_s == 1800
    assert found.notes[0].startswith("alder: 240 jobs from sacct.txt; 0 lines")


def test_a_centre_whose_work_nobody_knows_has_work_like_mine(tmp_path: Path, mine: Path) -> None:
    found = read(written(tmp_path, ALDER + "[centres.birch]\ncores = 25\n"), mine, seed=1)

    theirs = [job for job in found.workload.jobs if job.centre == "birch"]
    assert 2 * 240 <= len(theirs) <= 3 * 240
    assert {(job.units, job.wall_s) for job in theirs} == {(2, 3600)}
    assert "Nothing is known of the work of birch" in found.notes[-1]


def test_a_seed_gives_the_same_workload_again(tmp_path: Path, mine: Path) -> None:
    path = written(tmp_path, ALDER + "[centres.birch]\ncores = 25\n")

    assert read(path, mine, seed=1) == read(path, mine, seed=1)
    assert read(path, mine, seed=1).workload.jobs != read(path, mine, seed=2).workload.jobs


def test_a_centre_may_be_idle_or_have_drawn_work(tmp_path: Path, mine: Path) -> None:
    text = ALDER + "[centres.birch]\nidle = true\n[centres.cedar]\nwork = { jobs_per_day = 100 }\n"
    jobs = read(written(tmp_path, text), mine, seed=1).workload.jobs

    assert not [job for job in jobs if job.centre == "birch"]
    assert 700 < len([job for job in jobs if job.centre == "cedar"]) < 1300


def test_local_work_and_withdrawals_take_capacity_away_for_a_while(tmp_path: Path, mine: Path) -> None:
    text = ALDER + (
        "gpus = { a100 = 2 }\nlocal = [{ from_h = 8, until_h = 18, cores = 4 }]\n"
        "withdrawn = [{ after_days = 1.5, days = 1 }]\n"
    )
    capacity = read(written(tmp_path, text), mine, seed=1).workload.capacity

    cores = {step.at_s / 3600: step.units for step in capacity if step.resource_class == "cpu"}
    assert [cores[at_h] for at_h in (float("-inf"), 8, 18, 32, 36, 42, 60, 66)] == [10, 6, 10, 6, 0, 0, 6, 10]
    assert [step.units for step in capacity if step.resource_class == "a100"] == [2, 0, 2]
    assert list(cores.values())[-1] == 10


def test_cores_may_come_in_pilots_or_be_kept(tmp_path: Path, mine: Path) -> None:
    text = ALDER + "keeps = 3\npilots = { cores = 5, startup_s = 90, walltime_s = 7200 }\n"
    found = read(written(tmp_path, text), mine, seed=1).workload

    assert found.pilots == {("alder", "cpu"): Pilots(5, 90, 7200)}
    assert [(step.units, step.private) for step in found.capacity] == [(10, False), (3, True)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ALDER.replace('"alder"', '"elder"'), r"mine \(elder\) is not among the centres \(alder\)"),
        (ALDER + "speed = 4\n", "centres.alder.speed: Extra inputs"),
        (ALDER + "cores = 5\n", "not valid TOML.*line 4"),
        (ALDER + 'idle = true\ntrace = "t.swf"\n', "trace and idle exclude each other"),
        (ALDER + "idle = true\n", "says what its jobs are, and so does --mine"),
        (
            ALDER + "local = [{ from_h = 18, until_h = 8, cores = 4 }]\n",
            r"until_h \(8.0\) is not after from_h",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, mine: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read(written(tmp_path, text), mine, seed=1)


def test_somebody_must_say_what_my_jobs_are(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nothing says what the jobs of alder are"):
        read(written(tmp_path, ALDER), None, seed=1)


def test_drawn_work_has_the_means_that_were_asked_for() -> None:
    stream = Stream(jobs_per_day=1000, burst=5, mean_s=600, spread=1, requested=3, cores=[1, 3])
    jobs = draw(stream, "alder", 30 * DAY_S, random.Random(5))

    assert len(jobs) == pytest.approx(30_000, rel=0.05)
    assert mean(job.wall_s for job in jobs) == pytest.approx(600, rel=0.05)
    assert mean(job.units for job in jobs) == pytest.approx(2, rel=0.05)
    assert all(job.wall_s <= job.requested_s <= 3 * job.wall_s for job in jobs)
    assert [job.submitted_s for job in jobs] == sorted(job.submitted_s for job in jobs)

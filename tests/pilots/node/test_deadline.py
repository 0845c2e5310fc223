"""When a pilot must have left, and who may say so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fallow_pilots.node.deadline import Deadline
from fallow_pilots.node.features import Features
from fallow_pilots.node.slurm import end_time, reserved_from
from fallow_pilots.order import Order, Wish
from fallow_pilots.spec import PilotSpec

Make = Callable[..., PilotSpec]
START = 1_800_000_000.0


def until(spec: PilotSpec, order: Order | None = None, /, **environment: str) -> float:
    return Deadline(spec, START, environment).until(START + 1, order) - START


def features(directory: Path, **said: object) -> str:
    for name, value in said.items():
        (directory / name).write_text(f"{value}\n")
    return str(directory)


def test_the_end_is_what_was_asked_for_less_the_grace_time(make_spec: Make) -> None:
    assert until(make_spec(walltime_s=3600, drain_grace_s=60)) == 3540


def test_the_batch_systems_earlier_end_counts(make_spec: Make) -> None:
    spec = make_spec(walltime_s=3600, drain_grace_s=60)
    assert until(spec, SLURM_JOB_END_TIME=str(int(START) + 1800)) == 1740
    assert until(spec, PBS_WALLTIME="1200") == 1140


@pytest.mark.parametrize("said", ["", "soon", "0", "1799999999", "-5", "1e9"])
def test_an_end_that_makes_no_sense_is_ignored(make_spec: Make, said: str) -> None:
    assert until(make_spec(walltime_s=600, drain_grace_s=1), SLURM_JOB_END_TIME=said) == 599


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("MACHINEFEATURES", {"shutdowntime": int(START) + 900}),
        ("JOBFEATURES", {"shutdowntime_job": int(START) + 900}),
        ("JOBFEATURES", {"jobstart_secs": int(START) - 100, "wall_limit_secs": 1000}),
    ],
)
def test_a_sites_machine_and_job_features_count(
    make_spec: Make, tmp_path: Path, variable: str, said: dict[str, int]
) -> None:
    spec = make_spec(walltime_s=3600, drain_grace_s=60)
    deadline = Deadline(spec, START, {variable: features(tmp_path, **said)})
    assert deadline.until(START + 1) == START + 840


def test_features_are_read_again_while_the_pilot_runs(
    make_spec: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fallow_pilots.node.deadline.EVERY_S", 0.0)
    spec = make_spec(walltime_s=3600, drain_grace_s=60)
    deadline = Deadline(spec, START, {"MACHINEFEATURES": str(tmp_path)})
    assert deadline.until(START + 1) == START + 3540
    features(tmp_path, shutdowntime=int(START) + 600)
    assert deadline.until(START + 2) == START + 540
    (tmp_path / "shutdowntime").unlink()
    assert deadline.until(START + 3) == START + 3540


@pytest.mark.parametrize("text", ["", "soon", "-1", "nan", "inf", "1e300", "\x00"])
def test_features_that_make_no_sense_are_ignored(make_spec: Make, tmp_path: Path, text: str) -> None:
    assert until(
        make_spec(walltime_s=600, drain_grace_s=1), MACHINEFEATURES=features(tmp_path, shutdowntime=text)
    ) == (599)


def test_features_at_a_url_are_refused_with_a_word() -> None:
    asked = Features({"MACHINEFEATURES": "http://169.254.169.254/features"})
    assert not asked.present
    assert asked.refused == "$MACHINEFEATURES is no directory and is not read."


def test_an_order_of_the_launcher_counts(make_spec: Make) -> None:
    order = Order(wish=Wish.DRAIN, leave_by=datetime.fromtimestamp(START + 300, UTC))
    assert until(make_spec(walltime_s=3600, drain_grace_s=60), order) == 240


def test_slurms_answer_about_the_end_is_understood() -> None:
    assert end_time("2027-01-15T08:00:00\n") == START
    assert end_time("N/A\n") is None


RESERVATIONS = (
    "ReservationName=maint StartTime=2027-01-15T08:10:00 EndTime=2027-01-16T08:00:00 Duration=1-00:00:00 "
    "Nodes=n[1-4] NodeCnt=4 Flags=MAINT,IGNORE_JOBS,SPEC_NODES\n"
)


def test_maintenance_that_takes_the_node_is_its_end() -> None:
    assert reserved_from(RESERVATIONS, "n3", None, START) == START + 600


@pytest.mark.parametrize(
    ("node", "ours", "later_s"), [("n5", None, 0), ("n3", "maint", 0), ("n3", None, 700)]
)
def test_a_reservation_of_other_nodes_of_our_own_or_that_has_begun_is_none(
    node: str, ours: str | None, later_s: int
) -> None:
    assert reserved_from(RESERVATIONS, node, ours, START + later_s) is None


def test_an_answer_that_is_none_changes_nothing() -> None:
    assert reserved_from("slurm_load_reservations error", "n1", None, START) is None

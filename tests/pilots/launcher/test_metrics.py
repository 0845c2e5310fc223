"""The launcher's numbers for Prometheus: a file for node_exporter, and alerts and a dashboard that ask for nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests import monitoring

from fallow.offers import Reclaims
from fallow_pilots.halt import Halt, set_halt
from fallow_pilots.order import Wish
from fallow_pilots.relay.numbers import Numbers

if TYPE_CHECKING:
    from tests.pilots.launcher.conftest import TestCentre

MONITORING = Path(__file__).parents[3] / "pilots" / "monitoring"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The directory of the textfile collector."""
    made = tmp_path / "textfile"
    made.mkdir()
    return made


@pytest.fixture
def measured(make_centre: Callable[..., TestCentre], folder: Path) -> TestCentre:
    """A centre that keeps numbers."""
    centre = make_centre()
    centre.use(centre.policy.model_copy(update={"metrics_dir": folder}))
    return centre


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """A launcher whose files are nobody else's by default."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def told(folder: Path) -> str:
    return (folder / "fallow_launcher_alder.prom").read_text()


def test_a_cycle_leaves_its_numbers_for_everybody_to_read(measured: TestCentre, folder: Path) -> None:
    measured.launcher.cycle(60)
    found = told(folder)
    for line in (
        'fallow_launcher_launched_pilots{centre="alder"} 3.0',
        'fallow_launcher_pilots{centre="alder",state="queued"} 3.0',
        'fallow_launcher_trouble{centre="alder",side="hub"} 0.0',
        'fallow_launcher_active_cores{centre="alder"} 12.0',
    ):
        assert line in found
    (at,) = re.findall(r'^fallow_launcher_cycle_timestamp_seconds{centre="alder"} (.*)$', found, re.MULTILINE)
    assert float(at) == measured.now.timestamp()
    assert [path.name for path in folder.iterdir()] == ["fallow_launcher_alder.prom"]
    assert (folder / "fallow_launcher_alder.prom").stat().st_mode & 0o777 == 0o644
    monitoring.promtool(folder, "check", "metrics", told=found)


def test_trouble_with_hub_and_batch_system_is_told_apart(measured: TestCentre, folder: Path) -> None:
    measured.hub.away = True
    measured.launcher.cycle(60)
    assert 'fallow_launcher_trouble{centre="alder",side="hub"} 1.0' in told(folder)
    assert 'fallow_launcher_trouble{centre="alder",side="batch"} 0.0' in told(folder)
    measured.hub.away = False
    measured.slurm.fails("squeue", code=1)
    measured.launcher.cycle(60)
    assert 'fallow_launcher_trouble{centre="alder",side="batch"} 1.0' in told(folder)


def test_how_pilots_ended_and_how_long_that_took_is_told(measured: TestCentre, folder: Path) -> None:
    measured.launcher.cycle(60)
    measured.wait(60)
    measured.launcher.cycle(60)
    set_halt(measured.store, Halt(Wish.WITHDRAW, measured.now))
    measured.launcher.cycle(60)
    measured.wait(30)
    for number in (1, 2, 3):
        measured.leaves(f"alder-{number}", 100)
    measured.slurm.change_jobs(state="COMPLETED")
    measured.launcher.cycle(60)
    assert 'fallow_launcher_ended_pilots{centre="alder",code="100"} 3.0' in told(folder)
    assert 'fallow_launcher_longest_reclaim_seconds{centre="alder"} 30.0' in told(folder)
    assert measured.hub.published[-1].reclaims == Reclaims(count=3, mean_s=30, longest_s=30)


def test_a_directory_that_is_gone_stops_no_launcher(
    measured: TestCentre, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.rmdir()
    assert measured.launcher.cycle(60).launched == 3
    assert "the numbers for Prometheus were not written" in caplog.text


def test_without_a_directory_there_are_none(centre: TestCentre, tmp_path: Path) -> None:
    centre.launcher.cycle(60)
    assert list(tmp_path.rglob("*.prom")) == []


@pytest.mark.parametrize("argv", monitoring.FILES)
def test_prometheus_takes_the_alerts_and_they_fire_when_they_should(argv: str) -> None:
    monitoring.promtool(MONITORING, *argv.split())


def test_alerts_and_dashboard_ask_only_for_what_there_is(measured: TestCentre, folder: Path) -> None:
    measured.launcher.cycle(60)
    measured.leaves("alder-1", 300)
    measured.wait(60)
    measured.launcher.cycle(60)
    numbers = Numbers("terms")
    numbers.answered(200)
    numbers.put(folder / "relay.prom")
    found = told(folder) + (folder / "relay.prom").read_text()
    assert len(monitoring.asked(MONITORING)) == 15
    assert monitoring.missing(MONITORING, found) == set()


def test_every_panel_of_the_dashboard_has_its_place() -> None:
    monitoring.check_places(MONITORING)

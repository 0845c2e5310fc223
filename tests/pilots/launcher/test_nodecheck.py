"""The check of a node by a job of its own, where it comes to nothing; what it finds is seen on the real testbed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from fallow.errors import NotAvailableError
from fallow_pilots import nodecheck
from fallow_pilots.centre import Centre

if TYPE_CHECKING:
    from tests.pilots.launcher.conftest import TestCentre


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodecheck, "POLL_S", 0.01)
    monkeypatch.setattr(nodecheck, "SETTLE_S", 0.05)


def check(centre: TestCentre, wait_s: float, say: Callable[[str], None] = print) -> Any:
    seen = cast(Centre, SimpleNamespace(policy=centre.policy, layout=centre.layout, batch=centre.batch))
    return nodecheck.check_node(seen, centre.hub.federation(), centre.policy.pilot, wait_s, say)


def left(centre: TestCentre) -> list[Path]:
    return list(centre.layout.pilots.iterdir())


def test_a_job_that_no_node_takes_is_removed_and_said(centre: TestCentre) -> None:
    centre.slurm.set(held=True)
    said: list[str] = []
    with pytest.raises(
        NotAvailableError, match="No node ended the check in 1 s; the job was PENDING"
    ) as caught:
        check(centre, 1, said.append)
    assert len(said) == 1, "a wait is told once"
    assert said[0].startswith("The job that checks a node is PENDING")
    assert "--no-node" in caught.value.remedy
    assert [job["state"] for job in centre.slurm.jobs.values()] == ["CANCELLED"]
    assert left(centre) == []


def test_a_job_that_leaves_nothing_is_said(centre: TestCentre) -> None:
    centre.slurm.fails("squeue", prints="JOBID|STATE|START_TIME|NODELIST|NAME|REASON\n")
    with pytest.raises(NotAvailableError, match="The node check left no findings: its log is empty"):
        check(centre, 60)
    assert left(centre) == []


def test_the_launcher_does_not_take_the_check_for_a_pilot(centre: TestCentre) -> None:
    assert centre.layout.pilot_of("fallow-alder-check-17") is None


def test_the_check_is_small_whatever_the_shape(make_centre: Callable[..., TestCentre]) -> None:
    centre = make_centre(pilot={"cores": 64, "memory_mb": 500_000, "nodes": 4})
    centre.slurm.set(held=True)
    with pytest.raises(NotAvailableError):
        check(centre, 1)
    argv = next(call for call in centre.slurm.read()["calls"] if call[0].endswith("sbatch"))
    assert {"--nodes=1", "--cpus-per-task=1", "--mem=1024M"} <= set(argv)

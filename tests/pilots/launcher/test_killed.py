"""A launcher killed at any line leaves nothing launched twice, forgotten or orphaned; ten of them act as one."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

import fallow_pilots
from fallow_pilots.loop import AlreadyRunningError, only_one
from fallow_pilots.reconcile import ABSENT_S
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.store import Store
from fallow_pilots.watch import KEPT

if TYPE_CHECKING:
    from tests.pilots.launcher.conftest import TestCentre

OURS = str(Path(fallow_pilots.__file__).parent)


class DieAt:
    """Kills its own process with SIGKILL at the n-th line of this part's code."""

    def __init__(self, line: int) -> None:
        self.left = line

    def __call__(self, frame: FrameType, event: str, arg: Any) -> DieAt | None:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        if event == "line":
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return self


def cycle_in_child(centre: TestCentre, line: int) -> bool:
    """Run a cycle in a process that dies at `line`; False when it lived to the end."""
    centre.store.close()
    child = os.fork()
    if child == 0:
        try:
            centre.store.__init__(centre.layout.store, "alder")  # type: ignore[misc]
            sys.settrace(DieAt(line))
            with only_one(centre.layout.lock):
                centre.launcher.cycle(60)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    centre.store.__init__(centre.layout.store, "alder")  # type: ignore[misc]
    return os.WIFSIGNALED(status)


def check(centre: TestCentre) -> None:
    """What must hold after a recovery, whatever happened before."""
    records = {record.pilot: record for record in centre.store.records(centre.now - KEPT)}
    jobs = centre.slurm.jobs
    names = [job["name"] for job in jobs.values()]
    assert len(names) == len(set(names)), "a pilot was launched twice"
    held = {job["name"].removeprefix("fallow-") for job in jobs.values() if job["state"] == "RUNNING"}
    assert held == {pilot for pilot, record in records.items() if record.active}, "forgotten or orphaned"
    assert len(held) == 3, "every idle node has its pilot"
    for native_id, job in jobs.items():
        assert records[job["name"].removeprefix("fallow-")].native_id == native_id
    assert not [record for record in records.values() if record.state is State.INTENT]


@pytest.mark.parametrize("seed", range(12))
def test_a_launcher_killed_anywhere_is_recovered_by_the_next(centre: TestCentre, seed: int) -> None:
    chance = random.Random(seed)
    deaths = sum(cycle_in_child(centre, chance.randrange(1, 1500)) for _ in range(3))
    assert deaths, "the seed should kill at least once"
    centre.launcher.cycle(60)
    for _ in range(2):
        centre.wait(ABSENT_S)
        centre.launcher.cycle(60)
    check(centre)


def test_a_kill_between_intent_and_submission_costs_nothing_but_a_while(
    centre: TestCentre,
) -> None:
    centre.slurm.set(nodes=3)
    assert centre.store.intend(PilotRecord("", State.INTENT, 4, 0, 3600, centre.now)) is not None
    assert centre.launcher.cycle(60).launched == 2
    centre.wait(ABSENT_S)
    assert centre.launcher.cycle(60).launched == 1
    centre.launcher.look()
    check(centre)


def test_ten_launchers_act_as_one(centre: TestCentre) -> None:
    children = []
    for _ in range(10):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                centre.store = Store(centre.layout.store, "alder")
                centre.use(centre.policy)
                with only_one(centre.layout.lock):
                    centre.launcher.cycle(60)
                    code = 0
            except AlreadyRunningError:
                code = 7
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert set(codes) <= {0, 7}
    assert 0 in codes
    centre.launcher.look()
    check(centre)


def test_a_second_launcher_is_told_who_the_first_is(centre: TestCentre) -> None:
    with (
        only_one(centre.layout.lock),
        pytest.raises(
            AlreadyRunningError, match=f"Another launcher acts for this centre: process {os.getpid()} on"
        ),
        only_one(centre.layout.lock),
    ):
        pass
    with only_one(centre.layout.lock):
        pass

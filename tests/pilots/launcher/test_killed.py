"""A launcher killed at any instruction leaves nothing launched twice, forgotten or orphaned; ten of them act as one."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

import fallow_pilots
from fallow_pilots.batch.model import BatchJob, Hole, JobStatus, Node, Phase, Spare, Stop
from fallow_pilots.halt import Halt, set_halt
from fallow_pilots.loop import AlreadyRunningError, only_one
from fallow_pilots.order import Wish
from fallow_pilots.reconcile import ABSENT_S
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.store import Store
from fallow_pilots.watch import KEPT

if TYPE_CHECKING:
    from tests.pilots.launcher.conftest import TestCentre

OURS = str(Path(fallow_pilots.__file__).parent)
NODES = 3
CHANGES = {"subprocess.Popen", "os.rename", "os.mkdir", "os.chmod", "os.remove", "shutil.rmtree", "open"}
"""Audit events at which a process may change something that outlives it."""


@dataclass
class Surviving:
    """A batch system in a file: quick enough to kill its launcher hundreds of times."""

    path: Path
    programs: tuple[str, ...] = ()

    @property
    def jobs(self) -> dict[str, str]:
        """Native id → name, of every job ever submitted."""
        return dict(json.loads(self.path.read_text())) if self.path.exists() else {}

    def write(self, jobs: dict[str, str]) -> None:
        """Replace all jobs in one step, as a batch system would."""
        draft = self.path.with_name("draft")
        draft.write_text(json.dumps(jobs))
        draft.replace(self.path)

    def script(self, job: BatchJob) -> str:
        return "#!/bin/sh\n"

    def submit_argv(self, job: BatchJob) -> list[str]:
        return ["submit", job.name]

    def submit(self, job: BatchJob) -> str:
        jobs = self.jobs
        native_id = str(len(jobs) + 1)
        self.write({**jobs, native_id: job.name})
        return native_id

    def status(self, names: Collection[str]) -> list[JobStatus]:
        stopped = self.stopped
        return [
            JobStatus(name, native_id, Phase.ENDED if native_id in stopped else Phase.RUNNING, "R")
            for native_id, name in self.jobs.items()
        ]

    @property
    def stopped(self) -> list[str]:
        """Ids of removed jobs, each as often as it was removed."""
        log = self.path.with_name("stopped")
        return log.read_text().split() if log.exists() else []

    def stop(self, native_ids: Sequence[str], how: Stop) -> None:
        with self.path.with_name("stopped").open("a") as stream:
            stream.writelines(f"{native_id}\n" for native_id in native_ids)

    def spare(self, *, count_waiting: bool, partitions: Sequence[str], hole: Hole | None = None) -> Spare:
        free = NODES - len(self.jobs) + len(set(self.stopped))
        return Spare(tuple(Node(f"n{index}", 4, 8000, 0, idle=True) for index in range(free)))


class Countdown:
    """Kills its own process with SIGKILL after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self) -> None:
        self.left -= 1
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def at_lines(self, store: Store) -> None:
        """A step for each line of this part's code."""

        def trace(frame: FrameType, event: str, arg: Any) -> Any:
            if not frame.f_code.co_filename.startswith(OURS):
                return None
            if event == "line":
                self.step()
            return trace

        sys.settrace(trace)

    def at_changes(self, store: Store) -> None:
        """A step before each statement of SQL, each program started and each file written, made, moved or removed."""
        store._db.set_trace_callback(lambda statement: self.step())

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            writes = event != "open" or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
            if event in CHANGES and writes:
                self.step()

        sys.addaudithook(hook)


def in_child(centre: TestCentre, act: Callable[[Store], None]) -> bool:
    """Run a cycle in a process that may die by what `act` prepares; whether it lived to the end."""
    centre.store.close()
    child = os.fork()
    if child == 0:
        try:
            centre.store.__init__(centre.layout.store, "alder")  # type: ignore[misc]
            act(centre.store)
            with only_one(centre.layout.lock):
                centre.launcher.cycle(60)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    centre.store.__init__(centre.layout.store, "alder")  # type: ignore[misc]
    return not os.WIFSIGNALED(status)


def recover(centre: TestCentre) -> None:
    """What the next launcher does, and the time that it takes to give up what never came."""
    centre.launcher.cycle(60)
    for _ in range(2):
        centre.wait(ABSENT_S)
        centre.launcher.cycle(60)


def check(centre: TestCentre, jobs: dict[str, str], running: Collection[str]) -> None:
    """What must hold after a recovery, whatever happened before."""
    records = {record.pilot: record for record in centre.store.records(centre.now - KEPT)}
    assert len(jobs) == len(set(jobs.values())), "a pilot was launched twice"
    held = {jobs[native_id].removeprefix("fallow-") for native_id in running}
    assert held == {pilot for pilot, record in records.items() if record.active}, "forgotten or orphaned"
    for native_id, name in jobs.items():
        assert records[name.removeprefix("fallow-")].native_id == native_id
    assert not [record for record in records.values() if record.state is State.INTENT]


@pytest.fixture
def surviving(centre: TestCentre, tmp_path: Path) -> Surviving:
    """The centre's batch system, in a file."""
    batch = Surviving(tmp_path / "jobs.json")
    centre.batch = batch
    centre.use(centre.policy)
    return batch


def check_surviving(centre: TestCentre, batch: Surviving) -> None:
    recover(centre)
    check(centre, batch.jobs, set(batch.jobs) - set(batch.stopped))
    assert len(set(batch.jobs) - set(batch.stopped)) == NODES, "every idle node has its pilot"


def anew(centre: TestCentre, batch: Surviving) -> None:
    """Forget everything, as on the launcher's first day."""
    centre.store.close()
    for path in (centre.layout.store, batch.path, batch.path.with_name("stopped"), centre.layout.token):
        path.unlink(missing_ok=True)
    for pilot in centre.layout.pilots.iterdir():
        for file in pilot.iterdir():
            file.unlink()
        pilot.rmdir()
    centre.store.__init__(centre.layout.store, "alder")  # type: ignore[misc]


def test_a_launcher_killed_at_any_change_is_recovered_by_the_next(
    centre: TestCentre, surviving: Surviving
) -> None:
    steps = 0
    lived = False
    while not lived:
        steps += 1
        lived = in_child(centre, Countdown(steps).at_changes)
        check_surviving(centre, surviving)
        anew(centre, surviving)
    assert steps > 50, "a first cycle makes so many changes"


def test_a_launcher_killed_at_any_line_is_recovered_by_the_next(
    centre: TestCentre, surviving: Surviving
) -> None:
    chance = random.Random(4)
    deaths = 0
    for _ in range(30):
        for _ in range(3):
            deaths += not in_child(centre, Countdown(chance.randrange(1, 1200)).at_lines)
        check_surviving(centre, surviving)
        anew(centre, surviving)
    assert deaths > 50, "most of them should be killed"


def test_a_launcher_killed_in_a_withdrawal_leaves_no_pilot_behind(
    centre: TestCentre, surviving: Surviving
) -> None:
    steps = 0
    lived = False
    while not lived:
        steps += 1
        centre.launcher.cycle(60)
        set_halt(centre.store, Halt(Wish.WITHDRAW, centre.now, centre.now))
        lived = in_child(centre, Countdown(steps).at_changes)
        recover(centre)
        assert set(surviving.stopped) == set(surviving.jobs)
        assert len(surviving.jobs) == NODES, "nothing starts after a withdrawal"
        check(centre, surviving.jobs, set())
        anew(centre, surviving)
        centre.use(centre.policy)
    assert steps > 20, "a withdrawal makes so many changes"


def test_launchers_killed_at_random_moments_submit_each_pilot_once(centre: TestCentre) -> None:
    chance = random.Random(7)
    for _ in range(40):
        centre.store.close()
        child = os.fork()
        if child == 0:
            try:
                centre.store.__init__(centre.layout.store, "alder")  # type: ignore[misc]
                with only_one(centre.layout.lock):
                    while True:
                        centre.launcher.cycle(60)
            finally:
                os._exit(0)
        signal.sigtimedwait([], chance.uniform(0, 0.4))  # what it has started goes on without it
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        centre.store.__init__(centre.layout.store, "alder")  # type: ignore[misc]
    recover(centre)
    jobs = centre.slurm.jobs
    running = [native_id for native_id, job in jobs.items() if job["state"] == "RUNNING"]
    check(centre, {native_id: job["name"] for native_id, job in jobs.items()}, running)
    assert len(running) == NODES


def test_a_kill_between_intent_and_submission_costs_nothing_but_a_while(
    centre: TestCentre, surviving: Surviving
) -> None:
    assert centre.store.intend(PilotRecord("", State.INTENT, 4, 0, 3600, centre.now)) is not None
    assert centre.launcher.cycle(60).launched == NODES - 1
    centre.wait(ABSENT_S)
    assert centre.launcher.cycle(60).launched == 1
    check_surviving(centre, surviving)


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
    jobs = {native_id: job["name"] for native_id, job in centre.slurm.jobs.items()}
    check(centre, jobs, jobs)
    assert len(jobs) == NODES


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

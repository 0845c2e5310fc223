"""Parts that end are started again; the whole ends in order."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from itertools import pairwise

from fallow_matcher.operation.parts import Part
from fallow_matcher.operation.supervisor import STEADY_S, Supervisor, pause_s


class Child:
    """A process that ends when the test says so."""

    def __init__(self, told: list[str], name: str) -> None:
        self.pid, self.status = 1, None
        self._told, self._name = told, name

    status: int | None

    def poll(self) -> int | None:
        return self.status

    def send_signal(self, number: int) -> None:
        self._told.append(f"{signal.Signals(number).name} {self._name}")

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)
        self.status = 0

    def wait(self, timeout_s: float | None = None) -> int:
        assert self.status is not None
        return self.status


class World:
    """Parts `a` (which reads its files again) and `b`, a clock, and what they were told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[str] = []
        self.children: list[Child] = []
        parts = [Part(name, name, (name,), {}, reloads=name == "a") for name in ("a", "b")]
        self.supervisor = Supervisor(parts, self._spawn(), lambda: self.now)

    def _spawn(self) -> Callable[[Part], subprocess.Popen[bytes]]:
        def spawn(part: Part) -> subprocess.Popen[bytes]:
            self.told.append(f"start {part.name}")
            self.children.append(Child(self.told, part.name))
            return self.children[-1]  # type: ignore[return-value]

        return spawn


def test_a_part_that_ends_is_started_again_after_a_pause_that_grows() -> None:
    world = World()
    world.supervisor.look()
    starts = []
    for _ in range(300):
        world.now += 0.5
        for child in world.children[-1:]:
            child.status = 1
        before = len(world.children)
        world.supervisor.look()
        if len(world.children) > before:
            starts.append(world.now)
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses == sorted(pauses)
    assert pauses[-1] <= pause_s(100) + 1


def test_a_part_that_lived_long_starts_again_soon() -> None:
    world = World()
    world.supervisor.look()
    for _ in range(5):
        world.now += STEADY_S
        world.children[-1].status = 1
        world.supervisor.look()
        world.now += pause_s(1)
        before = len(world.children)
        world.supervisor.look()
        assert len(world.children) == before + 1


def test_only_parts_that_can_are_told_to_read_their_files_again() -> None:
    world = World()
    world.supervisor.look()
    world.supervisor.reload()
    assert world.told == ["start a", "start b", "SIGHUP a"]


def test_parts_end_in_the_reverse_order() -> None:
    world = World()
    world.supervisor.look()
    world.supervisor.stop()
    assert world.told[2:] == ["SIGTERM b", "SIGTERM a"]

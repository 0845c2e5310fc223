"""What the benchmark asks of each system."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fallow_testbed.host import Host

IMAGE = "/home/job.sif"
"""The image, where every host of a centre sees it."""
CONTAINER = (
    "apptainer",
    "-s",
    "exec",
    "--userns",
    "--containall",
    "--no-mount",
    "bind-paths,hostfs,cwd",
    IMAGE,
)
"""How the systems that know nothing of containers start one: as a pilot does, without its fences."""
LIMIT_S = 900
LOOK_S = 0.02


def look_s(left: int) -> float:
    """How long to wait before one looks again at so many jobs: looking takes processor time from them."""
    return max(LOOK_S, left / 1000)


class System(Protocol):
    """Something that runs jobs."""

    name: str

    def start(self) -> None:
        """Bring it up and run one job on each slot, so that the image is known."""

    def batch(self, count: int) -> float:
        """Run so many no-op container jobs; the seconds from the first call to the last result known."""

    def stop(self) -> None:
        """Free the cores."""


def until(left: Callable[[], int], what: str) -> None:
    """Wait until nothing is left."""
    end = time.monotonic() + LIMIT_S
    while number := left():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} took longer than {LIMIT_S} s")
        time.sleep(look_s(number))


@dataclass
class Helper:
    """A process that takes orders: how many jobs to run, on a line; it answers with the seconds that they took."""

    process: subprocess.Popen[str]
    log: Path

    @classmethod
    def of(cls, argv: list[str], log: Path) -> Helper:
        """Start it and wait until it is ready; what it complains of goes to `log`."""
        with log.open("w") as complaints:
            process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True
            )
        found = cls(process, log)
        found._answer()
        return found

    def ask(self, count: int) -> float:
        """The seconds that so many jobs took."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Let it end: it does when nobody gives it orders any more."""
        with self.process:  # closes its pipes, and waits
            assert self.process.stdin is not None
            self.process.stdin.close()
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def _answer(self) -> float:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("took "):
                return float(line.split()[1])
        raise RuntimeError(f"a helper ended with {self.process.wait()}: {self.log.read_text()[-2000:]}")


@dataclass
class Place:
    """Where a system runs: a login host and a node of one centre."""

    login: Host
    node: Host
    home: Path
    """The centre's `/home` as the machine sees it."""
    slots: int
    account: str


@dataclass
class Helped:
    """A system whose jobs a helper runs."""

    place: Place
    name: str
    directory: Path
    """Where the helper's complaints go."""
    _helper: Helper | None = field(default=None, init=False)

    def command(self) -> list[str]:
        """What starts the helper."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the helper, and warm every slot."""
        self._helper = Helper.of(self.command(), self.directory / f"{self.name}.log")
        self.batch(2 * self.place.slots)

    def batch(self, count: int) -> float:
        """What the helper measured."""
        assert self._helper is not None
        return self._helper.ask(count)

    def stop(self) -> None:
        """End the helper."""
        if self._helper is not None:
            self._helper.end()
            self._helper = None

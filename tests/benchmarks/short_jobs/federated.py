"""Fallow: jobs from the desk, through the hub, to a pilot at the centre."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.outcome import ROOT
from tests.benchmarks.short_jobs.system import Helper, Place

from fallow_testbed import centre, people
from fallow_testbed.layout import Layout


@dataclass
class Fallow:
    """A pilot with all cores of the node."""

    layout: Layout
    place: Place
    digest: str
    directory: Path
    person: str
    name: str = "Fallow"
    _helpers: list[Helper] = field(default_factory=list)

    def start(self) -> None:
        """Let pilots come."""
        self._pilot("resume")
        argv = [sys.executable, "-m", "tests.benchmarks.short_jobs.fallow_orders", self.digest]
        env = {**people.environment(self.layout, self.person), "PYTHONPATH": str(ROOT)}
        line = self.layout.desk().enter(argv, env=env, directory=self.directory)
        self._helpers.append(Helper.of(line, self.directory / "fallow.log"))
        self.batch(2 * self.place.slots)

    def batch(self, count: int) -> float:
        """One transaction; their states are asked for until all have ended."""
        return self._helpers[-1].ask(count)

    def one(self) -> float:
        """The same with one job."""
        return self.batch(1)

    def stop(self) -> None:
        """Withdraw, so that the node is free for the next."""
        if self._helpers:
            self._helpers.pop().end()
        self._pilot("withdraw", "--now")

    def _pilot(self, *words: str) -> None:
        argv = ["fallow", "pilot", *words]
        self.place.login.run(argv, user=centre.ACCOUNT, env={"FALLOW_POLICY": centre.POLICY})

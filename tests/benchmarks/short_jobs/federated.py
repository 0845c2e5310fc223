"""Fallow: jobs from the desk, through the hub, to a pilot at the centre."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.outcome import ROOT
from tests.benchmarks.short_jobs.system import Helped
from tests.integration.pilots.sites import Site

from fallow_testbed import people


@dataclass
class Fallow(Helped):
    """A pilot with all cores of the node."""

    site: Site
    digest: str
    person: str
    inputs: tuple[Path, ...] = ()
    """Files that go with each job."""

    def command(self) -> list[str]:
        """The client library, at the desk."""
        argv = [
            sys.executable,
            "-m",
            "tests.benchmarks.short_jobs.fallow_orders",
            self.digest,
            *map(str, self.inputs),
        ]
        layout = self.site.layout
        env = {**people.environment(layout, self.person), "PYTHONPATH": str(ROOT)}
        return layout.desk().enter(argv, env=env, directory=self.directory)

    def start(self) -> None:
        """Let pilots come."""
        self.site.fallow("resume")
        super().start()

    def stop(self) -> None:
        """Withdraw, so that the node is free for the next."""
        super().stop()
        self.site.fallow("withdraw", "--now")

"""A centre to test with: a policy, a Slurm that does as it is told, a hub that answers or does not."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fallow.errors import NotAvailableError
from fallow.hub import CondorToken, HubClient
from fallow.messages import Federation
from fallow.offers import Offer
from fallow.reports import PilotReport
from fallow.settings import parse
from fallow_pilots.accounts.people import People
from fallow_pilots.batch.model import BatchSystem
from fallow_pilots.batch.slurm import Slurm
from fallow_pilots.credentials import Credentials
from fallow_pilots.launcher import Launcher
from fallow_pilots.layout import Layout
from fallow_pilots.policy import Policy
from fallow_pilots.store import Store

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FAKE = Path(__file__).with_name("fake_slurm.py")
HUB = "https://hub.example.org:8443"
PREFIX = "fallow-alder-"


def policy_table(state_dir: str = "/srv/fallow", **tables: dict[str, Any]) -> dict[str, Any]:
    """A policy as a TOML file would give it; `tables` change or add keys."""
    table: dict[str, Any] = {
        "state_dir": state_dir,
        "identity": {
            "centre": "alder",
            "hub": HUB,
            "token_file": "/etc/fallow/token",
        },
        "pilot": {
            "cores": 4,
            "memory_mb": 2000,
            "walltime_s": 3600,
            "min_walltime_s": 300,
            "idle_exit_s": 60,
            "drain_grace_s": 30,
        },
        "limits": {"max_pilots": 10, "ramp": 1.0},
        "backoff": {"fizzle_s": 100, "wait_s": 200},
    }
    for name, values in tables.items():
        table[name] = {**table.get(name, {}), **values}
    return table


def make_policy(state_dir: str = "/srv/fallow", **tables: dict[str, Any]) -> Policy:
    """A valid policy; see `policy_table`."""
    return parse(Policy, policy_table(state_dir, **tables), source="test")


class FakeSlurm:
    """The state of the fake, to be read and changed by a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for program in ("sbatch", "squeue", "sinfo", "scancel", "scontrol"):
            self.install(program)
        self.path = folder / "state.json"
        self.write(
            {
                "jobs": {},
                "nodes": 3,
                "held": False,
                "waiting": [],
                "obeyed": ["TERM", "USR1"],
                "faults": {},
                "calls": [],
            }
        )

    def install(self, program: str) -> None:
        """Put one program on PATH."""
        target = self.folder / program
        target.write_text(f"#!{sys.executable} -ISE\n" + FAKE.read_text())
        target.chmod(0o755)

    def read(self) -> dict[str, Any]:
        """The whole state."""
        return dict(json.loads(self.path.read_text()))

    def write(self, state: dict[str, Any]) -> None:
        """Replace the whole state."""
        self.path.write_text(json.dumps(state))

    def set(self, **values: object) -> None:
        """Change parts of the state."""
        self.write({**self.read(), **values})

    def fails(self, program: str, **fault: object) -> None:
        """Let a program fail: `before` it acts, with an exit `code`, with what it `prints` or `complains`."""
        self.set(faults={**self.read()["faults"], program: fault})

    def works(self) -> None:
        """End all faults."""
        self.set(faults={})

    def change_jobs(self, **values: object) -> None:
        """Change all jobs alike."""
        state = self.read()
        for job in state["jobs"].values():
            job.update(values)
        self.write(state)

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """All jobs ever submitted, by id."""
        return dict(self.read()["jobs"])


class FakeHub(HubClient):
    """A hub that answers at once, or not at all; real connections are tested in the federation part."""

    def __init__(self) -> None:
        self.away = False
        self.exchanged: list[str] = []
        self.published: list[Offer] = []
        self.life_s = 3600.0
        self.clock = START
        self.reports: dict[str, PilotReport] = {}

    def report(self, pilot: str) -> PilotReport | None:
        self._answer()
        return self.reports.get(pilot)

    def _answer(self) -> None:
        if self.away:
            raise NotAvailableError("The hub does not answer.", retryable=True)

    def federation(self) -> Federation:
        self._answer()
        return Federation(
            name="test",
            trust_domain="fallow.example.org",
            collector="hub.example.org:9618",
            schedd="hub",
            s3_endpoint="https://s3.example.org",
            issuers=[],
            centres=["alder"],
        )

    def exchange(self, scope: str) -> CondorToken:
        self._answer()
        self.exchanged.append(scope)
        return CondorToken(f"secret-{len(self.exchanged)}", self.clock + timedelta(seconds=self.life_s))

    def publish_offer(self, centre: str, offer: Offer) -> None:
        self._answer()
        self.published.append(offer)


@dataclass
class TestCentre:
    """One centre with a fake batch system and hub and a clock that a test moves."""

    __test__ = False

    policy: Policy
    layout: Layout
    store: Store
    batch: BatchSystem
    hub: FakeHub
    slurm: FakeSlurm
    now: datetime = START
    launcher: Launcher = field(init=False)

    def __post_init__(self) -> None:
        self.use(self.policy)

    def use(self, policy: Policy) -> None:
        """Put another policy in force."""
        self.policy = policy
        credentials = Credentials(self.hub, self.store, self.layout.token)
        publish = partial(self.hub.publish_offer, "alder")
        people = People(policy, self.layout, partial(Credentials, self.hub, self.store))
        self.launcher = Launcher(
            policy,
            self.batch,
            self.store,
            credentials,
            publish,
            self.hub.report,
            self.clock,
            people=people,
        )

    def clock(self) -> datetime:
        """The launcher's clock."""
        return self.now

    def wait(self, seconds: float) -> None:
        """Move the clock."""
        self.now += timedelta(seconds=seconds)
        self.hub.clock = self.now

    def leaves(self, pilot: str, code: int, reason: str = "test") -> None:
        """Let a pilot write its outcome."""
        path = self.layout.outcome(pilot)
        moment = self.now.isoformat()
        path.write_text(json.dumps({"code": code, "reason": reason, "started": moment, "ended": moment}))
        path.chmod(0o600)


@pytest.fixture(scope="session")
def policy_of() -> Callable[..., Policy]:
    """Makes a valid policy; see `make_policy`."""
    return make_policy


@pytest.fixture(scope="session")
def table_of() -> Callable[..., dict[str, Any]]:
    """Makes a policy as a file would give it; see `policy_table`."""
    return policy_table


@pytest.fixture
def make_hub() -> type[FakeHub]:
    """Makes a hub."""
    return FakeHub


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """A fake Slurm on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return FakeSlurm(folder)


@pytest.fixture
def make_centre(tmp_path: Path, slurm: FakeSlurm) -> Callable[..., TestCentre]:
    """Make a centre; arguments as for `make_policy`."""

    def make(**tables: dict[str, Any]) -> TestCentre:
        policy = make_policy(str(tmp_path / "state"), **tables)
        layout = Layout(policy)
        layout.make()
        store = Store(layout.store, "alder")
        return TestCentre(policy, layout, store, Slurm(policy.batch, PREFIX), FakeHub(), slurm)

    return make


@pytest.fixture
def centre(make_centre: Callable[..., TestCentre]) -> TestCentre:
    """A centre with the default policy."""
    return make_centre()

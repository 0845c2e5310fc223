"""A hub that names the development issuer, and the `fallow` command in a user's clean home."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fallow.cli import fallow
from fallow.client import client_settings
from fallow.commands.identity import SCOPES
from fallow.login import log_in
from fallow.login.oidc import DeviceAuthorization
from fallow.login.store import Session, SessionStore
from fallow_dev_issuer.app import Lives
from fallow_dev_issuer.grants import GrantStore
from fallow_dev_issuer.running import running
from fallow_dev_issuer.state import State

NAMES = {
    "name": "demo",
    "trust_domain": "fallow.test",
    "collector": "hub:9618",
    "schedd": "hub",
    "s3_endpoint": "https://hub:8333",
}


@dataclass
class Clock:
    """Real time plus what a test adds."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@dataclass
class Federation:
    """One issuer, one hub that trusts it, one user."""

    state: State
    clock: Clock
    hub: Any

    def decide(self, user_code: str, *, approve: bool = True) -> None:
        GrantStore(self.state.grants).decide(user_code, "alice", approve=approve, now=self.clock())


@pytest.fixture
def lives() -> Lives:
    return Lives(interval_s=1)


@pytest.fixture
def federation(
    tmp_path: Path, home: Path, serve: Callable[..., Any], lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Federation]:
    clock = Clock()
    with running(tmp_path / "issuer", lives=lives, clock=clock) as state:
        hub = serve()
        both = tmp_path / "both.pem"
        both.write_bytes(hub.ca_file.read_bytes() + (state.directory / "ca.pem").read_bytes())
        monkeypatch.setenv("FALLOW_HUB", hub.url)
        monkeypatch.setenv("FALLOW_CA_FILE", str(both))
        issuer = {"issuer": state.issuer, "client_id": "fallow", "audience": "https://hub.test"}
        hub.says(200, {**NAMES, "issuers": [issuer], "centres": ["alder"]})
        yield Federation(state, clock, hub)


@pytest.fixture
def run() -> Callable[..., Result]:
    def invoke(*argv: str) -> Result:
        return CliRunner().invoke(fallow, list(argv))

    return invoke


@pytest.fixture
def logged_in(federation: Federation) -> Session:
    """A stored login of alice, without the waiting."""

    def approve(started: DeviceAuthorization) -> None:
        federation.decide(started.user_code)

    settings = client_settings()
    return log_in(
        federation.state.issuer,
        "fallow",
        "https://hub.test",
        SCOPES,
        ca_file=settings.ca_file,
        show=approve,
        sleep=lambda _: None,
    )


@pytest.fixture
def login_command(federation: Federation) -> Callable[..., str]:
    """Runs the real `fallow login`, decides on the code that it shows, and returns what it printed."""

    def whole_flow(*argv: str, approve: bool = True) -> str:
        command = Path(sys.executable).with_name("fallow")
        with Popen([command, "login", *argv], stdout=PIPE, stderr=STDOUT, text=True) as process:
            assert process.stdout is not None
            printed = ""
            for line in process.stdout:
                printed += line
                if line.startswith("Enter"):
                    federation.decide(line.split()[1], approve=approve)
        return printed

    return whole_flow


@pytest.fixture
def store(home: Path) -> SessionStore:
    return SessionStore.of_user()

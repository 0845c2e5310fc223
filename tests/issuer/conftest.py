"""An issuer's state, and the issuer itself with a clock that a test can move."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from fallow_dev_issuer.app import DEVICE_GRANT, Lives
from fallow_dev_issuer.grants import GrantStore
from fallow_dev_issuer.running import running
from fallow_dev_issuer.state import State

PEOPLE = """
clients = ["fallow", "other"]
[users.alice]
sub = "alice"
name = "Alice Alder"
groups = ["/fallow", "/fallow/alder"]
scopes = ["compute.read", "compute.create", "storage.read:/alice"]
password = "correct horse"
"""


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.toml"
    path.write_text(PEOPLE)
    return path


@dataclass
class Clock:
    """Real time plus what a test adds."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@dataclass
class LiveIssuer:
    """The issuer as a client sees it."""

    state: State
    clock: Clock
    form: dict[str, str] = field(default_factory=lambda: {"client_id": "fallow"})

    def post(self, path: str, **fields: str) -> requests.Response:
        return self.raw("POST", path, data={**self.form, **fields})

    def get(self, path: str) -> requests.Response:
        return self.raw("GET", path)

    def raw(self, method: str, path: str, data: dict[str, str] | str | None = None) -> requests.Response:
        url = self.state.base_url + path
        ca_file = str(self.state.directory / "ca.pem")
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if isinstance(data, str) else None
        return requests.request(method, url, data=data, headers=headers, verify=ca_file, timeout=10)

    def start(self, scope: str = "openid offline_access compute.read wlcg.groups") -> dict[str, str]:
        answer = self.post("/device_authorization", scope=scope, audience="https://hub.example.org")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def poll(self, device_code: str) -> requests.Response:
        return self.post("/token", grant_type=DEVICE_GRANT, device_code=device_code)

    def decide(self, user_code: str, *, approve: bool = True) -> None:
        GrantStore(self.state.grants).decide(user_code, "alice", approve=approve, now=self.clock())

    def tokens(self, scope: str = "openid offline_access compute.read wlcg.groups") -> dict[str, str]:
        started = self.start(scope)
        self.decide(started["user_code"])
        answer = self.poll(started["device_code"])
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def refresh(self, token: str, **fields: str) -> requests.Response:
        return self.post("/token", grant_type="refresh_token", refresh_token=token, **fields)


@pytest.fixture
def issuer(tmp_path: Path, people: Path) -> Iterator[LiveIssuer]:
    clock = Clock()
    with running(tmp_path / "state", people=people, lives=Lives(interval_s=5), clock=clock) as state:
        yield LiveIssuer(state, clock)


@pytest.fixture
def mode() -> Callable[[Path], int]:
    return lambda path: path.stat().st_mode & 0o777

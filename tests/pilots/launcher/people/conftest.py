"""Pilots under the accounts of people: each is a home of its own with the real deputy, over one fake Slurm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fallow_pilots.accounts import people
from fallow_pilots.accounts.consent import Consent, write_consent
from fallow_pilots.accounts.deputy import answer
from fallow_pilots.accounts.messages import Request
from fallow_pilots.record import PilotRecord
from fallow_pilots.watch import KEPT

if TYPE_CHECKING:
    from tests.pilots.launcher.conftest import TestCentre

HUB = "https://hub.example.org:8443"


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let deputies answer in this process where `become` is `env HOME=…`; one test starts the program itself."""
    real = people._run

    def run(argv: Sequence[str], request: str) -> bytes:
        if argv[0] != "env":
            return real(argv, request)
        home = Path(argv[1].partition("=")[2])
        return answer(Request.model_validate_json(request), home).model_dump_json().encode()

    monkeypatch.setattr(people, "_run", run)


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    """Where the people's homes are."""
    return tmp_path / "homes"


@pytest.fixture
def accounts(homes: Path) -> dict[str, Any]:
    """The policy's table: ann, charged to a project of hers, and ben."""
    people = [{"account": "ann", "batch_account": "proteins"}, {"account": "ben"}]
    return {"people": people, "become": ["env", f"HOME={homes}/{{account}}"]}


@pytest.fixture
def lent(make_centre: Callable[..., TestCentre], accounts: dict[str, Any]) -> TestCentre:
    """A centre whose pilots run under people's accounts."""
    return make_centre(accounts=accounts)


def consents(centre: TestCentre, homes: Path, account: str, **values: Any) -> Consent:
    home = homes / account
    home.mkdir(parents=True, exist_ok=True)
    told = {"hub": HUB, "directory": home / "pilots", "given": centre.now, **values}
    given = Consent(centre="alder", account=account, **told)
    write_consent(home, given)
    return given


def records(centre: TestCentre) -> list[PilotRecord]:
    return centre.store.records(centre.now - KEPT)


def held(centre: TestCentre) -> list[tuple[str | None, str]]:
    return [(record.account, record.state.value) for record in records(centre)]


def change(centre: TestCentre, account: str, **values: object) -> None:
    """Change the jobs of one person's pilots."""
    mine = {f"fallow-{record.pilot}" for record in records(centre) if record.account == account}
    state = centre.slurm.read()
    for job in state["jobs"].values():
        if job["name"] in mine:
            job.update(values)
    centre.slurm.write(state)

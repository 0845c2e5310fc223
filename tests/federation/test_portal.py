"""Usage for an allocation portal: requests as Waldur's interface describes them, held against its recorded answers."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.federation.conftest import Scripted
from tests.federation.test_report import november, total

from fallow import client, web
from fallow.commands.ledger import push as command
from fallow.errors import NotAvailableError, SettingsError
from fallow.ledger import portal
from fallow.ledger.monthly import MonthReport

RESOURCE = "6f7a7d9a-4f0a-4a3c-9a2b-0d8f6d1c2e11"
OTHER = "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9"
NOW = datetime(2026, 11, 22, tzinfo=timezone.utc)  # noqa: UP017 - as on Python 3.9
KEY = "e38cd56f1ce5bf4ef35905f2bdcf84f1d7f2cc5e"
REFUSED = {"usages": ["These components are invalid: gpu_hours."]}
"""What Waldur says, with status 400, about a component that the offering does not have."""


def settings(folder: Path, url: str, ca_file: Path, more: str = "") -> Path:
    """A settings file with two allocations, and the key beside it."""
    key = folder / "portal.key"
    key.write_text(f"{KEY}\n")
    key.chmod(0o600)
    path = folder / "portal.toml"
    path.write_text(
        f'url = "{url}"\ntoken_file = "portal.key"\nca_file = "{ca_file}"\n{more}'
        '[components]\ncpu = "cpu_hours"\na100 = "gpu_hours"\n'
        f'[[resources]]\nconsumer = "south"\nresource = "{RESOURCE}"\n'
        f'[[resources]]\nconsumer = "north"\nresource = "{OTHER}"\n'
    )
    return path


@pytest.fixture
def file(tmp_path: Path, server: Scripted) -> Path:
    return settings(tmp_path, server.url, server.ca_file)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that knows November."""

    class Hub:
        def month_report(self, centre: str, month: str) -> MonthReport:
            assert (centre, month) == ("north", "2025-11")
            return november()

    monkeypatch.setattr(client, "connect", Hub)
    monkeypatch.setattr(web, "pause_before_repeating", lambda attempt, *_: 0.0 if attempt < 4 else None)


def run(file: Path, *words: str) -> Any:
    options = ["--centre", "north", "--month", "2025-11", "--portal", str(file), *words]
    return CliRunner().invoke(command, options)


def test_a_request_names_resource_period_and_amounts(file: Path) -> None:
    told, left = portal.usages(portal.read(file), november(), NOW)
    assert json.loads(told[0].body()) == {
        "resource": RESOURCE.replace("-", ""),
        "date": "2025-11-30T23:59:59+00:00",
        "usages": [
            {"type": "cpu_hours", "amount": "2.00", "description": told[0].description},
            {"type": "gpu_hours", "amount": "0.00", "description": told[0].description},
        ],
    }
    assert november().digest in told[0].description
    assert left == ["west used 2.00 h of a100, which the portal has no resource for."]


def test_what_a_centre_used_at_home_is_for_its_own_allocation(file: Path) -> None:
    told, _ = portal.usages(portal.read(file), november(), NOW)
    assert {one.consumer: str(one.amounts["cpu_hours"]) for one in told} == {"south": "2.00", "north": "2.00"}


def test_a_class_without_component_is_said(file: Path) -> None:
    report = november(given=[total(consumer="south", work_type="test", resource_class="h100")])
    _, left = portal.usages(portal.read(file), report, NOW)
    assert left == ["south used 2.00 h of h100, which the portal has no component for."]


def test_a_month_that_goes_on_is_told_as_of_now(file: Path) -> None:
    report = november()
    now = report.since + timedelta(days=3)
    told, _ = portal.usages(portal.read(file), report, now)
    assert {one.date for one in told} == {now}


def test_a_unit_may_be_another_than_an_hour(tmp_path: Path, server: Scripted) -> None:
    file = settings(tmp_path, server.url, server.ca_file, "unit_s = 60\n")
    told, _ = portal.usages(portal.read(file), november(), NOW)
    assert str(told[0].amounts["cpu_hours"]) == "120.00"


@pytest.mark.usefixtures("hub")
def test_a_dry_run_shows_what_would_go_and_sends_nothing(file: Path, server: Scripted) -> None:
    (file.parent / "portal.key").unlink()
    done = run(file, "--dry-run", "--json")
    assert {row["state"] for row in json.loads(done.stdout)} == {"not sent"}
    assert "the portal has no resource for" in done.stderr
    assert server.asked == []
    assert done.exit_code == 1


@pytest.mark.usefixtures("hub")
def test_usage_is_sent_with_the_key_that_no_output_shows(file: Path, server: Scripted) -> None:
    server.says(201, {})
    done = run(file)
    assert [(asked.method, asked.path) for asked in server.asked] == [("POST", portal.PATH)] * 2
    assert {asked.headers["authorization"] for asked in server.asked} == {f"Token {KEY}"}
    assert [json.loads(asked.body)["resource"] for asked in server.asked] == [
        RESOURCE.replace("-", ""),
        OTHER.replace("-", ""),
    ]
    assert KEY not in done.output


@pytest.mark.usefixtures("hub")
def test_sending_it_again_sends_the_same(file: Path, server: Scripted) -> None:
    server.says(201, {})
    run(file)
    run(file)
    assert [asked.body for asked in server.asked[:2]] == [asked.body for asked in server.asked[2:]]


@pytest.mark.usefixtures("hub")
def test_a_portal_that_is_busy_is_asked_again(file: Path, server: Scripted) -> None:
    server.says(503, b"")
    server.says(429, {"detail": "Request was throttled."}, Retry_After="0")
    server.says(201, {})
    done = run(file, "--json")
    assert len(server.asked) == 4
    assert {row["state"] for row in json.loads(done.stdout)} == {"sent"}


@pytest.mark.usefixtures("hub")
def test_a_refusal_is_told_in_the_portals_words_and_the_rest_is_sent(file: Path, server: Scripted) -> None:
    server.says(400, REFUSED)
    server.says(201, {})
    done = run(file, "--json")
    states = {row["consumer"]: row["state"] for row in json.loads(done.stdout)}
    assert states["north"] == "sent"
    assert states["south"].startswith("status 400: ")
    assert "These components are invalid: gpu_hours." in states["south"]
    assert done.exit_code == 1


@pytest.mark.usefixtures("hub")
def test_a_portal_that_is_away_is_an_error(file: Path, server: Scripted) -> None:
    server.says(503, b"")
    server.says(201, {})
    file.write_text(file.read_text().replace(server.url, "https://127.0.0.1:1"))
    done = run(file)
    assert isinstance(done.exception, NotAvailableError)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("mode", "content", "said"), [(0o644, KEY, "others may have read"), (0o600, "", "no key")]
)
def test_a_key_that_others_may_read_or_that_is_none_is_refused(
    file: Path, mode: int, content: str, said: str
) -> None:
    key = file.parent / "portal.key"
    key.write_text(content)
    key.chmod(mode)
    done = run(file)
    assert isinstance(done.exception, SettingsError)
    assert said in str(done.exception)


def test_a_centre_with_two_allocations_is_refused(file: Path) -> None:
    file.write_text(file.read_text().replace('consumer = "north"', 'consumer = "south"'))
    with pytest.raises(SettingsError, match="two resources"):
        portal.read(file)

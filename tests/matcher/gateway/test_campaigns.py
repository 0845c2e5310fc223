"""Campaigns at the gateway: whose they are, who steers them, and who gets access to their jobs' files."""

from __future__ import annotations

import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from tests.matcher.campaigns.world import plan
from tests.matcher.conftest import bearer

from fallow_matcher.campaigns.tables import ROW
from fallow_matcher.campaigns.tickets import Tickets
from fallow_matcher.database import writing
from fallow_matcher.gateway.services import Services
from fallow_matcher.htcondor import keys


@pytest.fixture
def injected(client: TestClient, alice: dict[str, str]) -> None:
    """A campaign of alice with one row that has an output."""
    wanted = plan(stages=[{"outputs": [{"path": "out", "url": "s3:///mc/{id}"}]}])
    begun = client.post("/v1/campaigns", headers=alice, json=wanted.model_dump(mode="json"))
    assert begun.status_code == 200, begun.text
    rows = {"stage": "main", "rows": [["r1", ["r1", "1"]]]}
    assert client.post("/v1/campaigns/mc/rows", headers=alice, json=rows).status_code == 200
    assert client.post("/v1/campaigns/mc/complete", headers=alice).status_code == 200


@pytest.fixture
def manager(tokens: Any) -> dict[str, str]:
    """Another production manager of the same centre."""
    return bearer(tokens.make("mara", groups=("/fallow/north", "/fallow/north/production")))


def test_a_production_manager_steers_the_campaigns_of_the_centre(
    client: TestClient, injected: None, manager: dict[str, str], alice: dict[str, str]
) -> None:
    listed = client.get("/v1/campaigns", headers=manager).json()["campaigns"]
    assert [(one["name"], one["owner"]) for one in listed] == [("mc", "north.alice")]
    assert client.post("/v1/campaigns/mc/pause", headers=manager).status_code == 200
    found = client.get("/v1/campaigns/mc", headers=alice).json()["campaign"]
    assert (found["state"], found["reason"]) == ("paused", "Paused by mara.")
    assert client.get("/v1/campaigns/mc/rows", headers=manager).json()["rows"][0]["id"] == "r1"


def test_a_production_manager_injects_nothing_in_anothers_name(
    client: TestClient, injected: None, manager: dict[str, str]
) -> None:
    rows = {"stage": "main", "rows": [["r2", ["r2", "1"]]]}
    assert client.post("/v1/campaigns/mc/rows", headers=manager, json=rows).status_code == 404
    assert client.post("/v1/campaigns/mc/complete", headers=manager).status_code == 404


@pytest.mark.parametrize("groups", [("/fallow/north",), ("/fallow/south", "/fallow/south/production")])
def test_to_colleagues_and_other_centres_managers_a_campaign_is_not_there(
    client: TestClient, injected: None, tokens: Any, groups: tuple[str, ...]
) -> None:
    somebody = bearer(tokens.make("somebody", groups=groups))
    assert client.get("/v1/campaigns", headers=somebody).json()["campaigns"] == []
    assert client.get("/v1/campaigns/mc", headers=somebody).status_code == 404
    assert client.post("/v1/campaigns/mc/pause", headers=somebody).status_code == 404


@pytest.fixture
def pilot(services: Services) -> dict[str, str]:
    """The header of a pilot."""
    now = int(time.time())
    identity = "pilot-south@fallow.example.org"
    minted = services.mint.mint(
        keys.pilot_key("south"), identity, ("ADVERTISE_STARTD",), now=now, expires=now + 600
    )
    return bearer(minted.token)


def running(services: Services, state: str = "running") -> str:
    """Have the row run; its ticket."""
    with writing(services.database) as connection:
        connection.execute(update(ROW).values(state=state, attempt=1))
    return Tickets(services.settings.state_dir).of((1, 1, 1))


def refused(client: TestClient, who: dict[str, str], ticket: str, **more: Any) -> tuple[int, str]:
    """Status and code of a refusal."""
    answer = client.post("/v1/staging", headers=who, json={"ticket": ticket, **more})
    return answer.status_code, answer.json()["error"]


def test_files_are_staged_by_pilots_only(
    client: TestClient, injected: None, services: Services, alice: dict[str, str], pilot: dict[str, str]
) -> None:
    ticket = running(services)
    assert refused(client, alice, ticket) == (403, "forbidden")
    granted = client.post("/v1/staging", headers=pilot, json={"ticket": ticket})
    assert (granted.status_code, granted.json()["files"]) == (200, [])
    assert refused(client, pilot, ticket, outputs=[]) == (404, "missing")


def test_a_ticket_is_good_while_its_attempt_is_on_its_way(
    client: TestClient, injected: None, services: Services, pilot: dict[str, str]
) -> None:
    assert refused(client, pilot, running(services, "done")) == (403, "denied")
    running(services)
    assert refused(client, pilot, Tickets(services.settings.state_dir).of((1, 1, 2))) == (403, "denied")
    assert refused(client, pilot, "forged") == (403, "denied")

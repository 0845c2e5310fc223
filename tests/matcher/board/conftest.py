"""A hub with something to show."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert
from tests.matcher.campaigns.world import plan
from tests.matcher.conftest import GATEWAY

from fallow.offers import Condition, Offer, Shape
from fallow_matcher.capacity import series
from fallow_matcher.capacity.tables import MEASURES
from fallow_matcher.gateway.services import Services
from fallow_matcher.ledger.tables import EPOCH, RUN, STANDING
from fallow_matcher.matching.decision import Decision, Place, store

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
LogIn = Callable[..., str]


def run(number: int, ended: float, **changes: Any) -> dict[str, Any]:
    """A row of the ledger: a job of north that ran at south after a wait of 600 s."""
    return {
        "global_job_id": f"hub#{number}.0#1",
        "run": 1,
        "job": f"{number}.0",
        "provider": "south",
        "pilot": "south-1",
        "consumer": "north",
        "user": "north.alice",
        "work_type": "analysis",
        "resource_class": "cpu",
        "cores": 1,
        "gpus": 0,
        "factor": 1.0,
        "requested_s": 3600,
        "submitted": ended - 1200,
        "started": ended - 600,
        "ended": ended,
        "wall_s": 600.0,
        "cpu_s": 500.0,
        "outcome": "done",
        "reason": "",
        "value": 600.0,
        "valued_at": ended,
    } | changes


def offer(centre: str, sentence: str) -> Offer:
    now = datetime.now(UTC)
    return Offer(
        centre=centre,
        shapes=[Shape(cores=4, memory_mb=8000, disk_mb=1000, count=3)],
        starts=now,
        expires=now + timedelta(hours=1),
        conditions=[Condition(sentence=sentence)],
    )


@pytest.fixture
def busy(services: Services) -> Services:
    """Offers, capacity, runs, balances and a decision, with hostile text where others may write any."""
    now = time.time()
    services.offers.put(offer("north", f"No network. {ATTACK}"), datetime.now(UTC))
    sample = dict.fromkeys(MEASURES, 0.0) | {"cores_offered": 12.0, "cores_running": 8.0, "cores_used": 5.0}
    for back in (0, 86_400, 14 * 86_400):
        series.record(services.database, now - back, 60, {"north": sample})
    with services.database.begin() as connection:
        connection.execute(insert(RUN), [run(number, now - 60 * number) for number in range(1, 5)])
        connection.execute(insert(EPOCH).values(id=1, at=now, half_life_s=604800, latest=now))
        rows = [("north", -7200.0, 0.0), ("south", 7200.0, 7200.0)]
        connection.execute(
            insert(STANDING),
            [
                {"centre": centre, "resource_class": "cpu", "balance": balance, "contributed": gave}
                for centre, balance, gave in rows
            ],
        )
    place = Place("north", "analysis", "cpu", 90.0, 1234, 1, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)
    store(services.settings.state_dir, Decision(now, 1, "sha256:" + "0" * 64, (place,), {}))
    return services


@pytest.fixture
def log_in(client: TestClient, services: Services, tokens: Any, monkeypatch: pytest.MonkeyPatch) -> LogIn:
    """Logs somebody in; the issuer's part is played, all that follows is real. Gives the token that forms need."""

    def enter(sub: str = "alice", centre: str = "north", *groups: str, **claims: Any) -> str:
        token = tokens.make(
            sub,
            groups=("/fallow", f"/fallow/{centre}", *(f"/fallow/{centre}/{name}" for name in groups)),
            **claims,
        )
        monkeypatch.setattr(services.sign_in, "end", lambda *_, **__: token)
        answer = client.get("/login/callback?code=c&state=s", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/me"), answer.text
        found = re.search(r'name="csrf" value="([^"]+)"', client.get("/me").text)
        assert found
        return found[1]

    return enter


@pytest.fixture
def injected(client: TestClient, alice: dict[str, str]) -> None:
    """A campaign of alice at north with two rows and a hostile note."""
    wanted = plan(notes=ATTACK).model_dump(mode="json")
    assert client.post("/v1/campaigns", headers=alice, json=wanted).status_code == 200
    rows = {"stage": "main", "rows": [["r1", ["r1", "1"]], [ATTACK, [ATTACK, "1"]]]}
    assert client.post("/v1/campaigns/mc/rows", headers=alice, json=rows).status_code == 200
    assert client.post("/v1/campaigns/mc/complete", headers=alice).status_code == 200


def send(client: TestClient, path: str, csrf: str, origin: str = GATEWAY, **fields: str) -> Any:
    headers = {"Origin": origin} if origin else {}
    return client.post(path, data={"csrf": csrf, **fields}, headers=headers, follow_redirects=False)

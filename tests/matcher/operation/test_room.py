"""A hub whose disk is almost full takes no new work, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.matcher.conftest import raw_settings

from fallow.rules import default_text, parse_rules
from fallow_matcher.htcondor import work_types
from fallow_matcher.room import REFUSAL, has_room
from fallow_matcher.settings import HubSettings


@pytest.fixture
def settings(tmp_path: Path) -> HubSettings:
    """A hub that wants more room than any disk has."""
    return HubSettings.model_validate(raw_settings(tmp_path, limits={"least_free_mb": 10**9}))


def test_there_is_room_where_as_much_is_free_as_is_wanted(tmp_path: Path) -> None:
    wanted = raw_settings(tmp_path, limits={"least_free_mb": 0})
    (tmp_path / "state").mkdir()
    assert has_room(HubSettings.model_validate(wanted))


def test_the_gateway_takes_no_rows_of_campaigns(client: TestClient, alice: dict[str, str]) -> None:
    body = {"stage": "generate", "rows": [["r1", []]]}
    answer = client.post("/v1/campaigns/study/rows", json=body, headers=alice)
    assert answer.status_code == 507
    assert answer.json() == {"error": "insufficient_storage", "error_description": REFUSAL}
    assert "Retry-After" in answer.headers


def test_the_queue_takes_no_job_and_says_why() -> None:
    rules = parse_rules(default_text())
    full = work_types.render(rules, room=False)
    assert "SUBMIT_REQUIREMENT_WorkType = false" in full
    assert REFUSAL in full
    assert REFUSAL not in work_types.render(rules)

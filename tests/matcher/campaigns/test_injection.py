"""Injection: every row once, whoever injects, however often."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.matcher.campaigns.world import OWNER, Hub, plan, rows

from fallow.campaigns.messages import NewRows
from fallow.errors import UsageError
from fallow_matcher.campaigns import actions, injection
from fallow_matcher.campaigns.injection import OtherCampaignError, Owner
from fallow_matcher.database import writing


def test_injecting_again_adds_only_missing_rows(hub: Hub) -> None:
    assert hub.inject(plan(), rows(100)) == [(100, 0)]
    assert hub.inject(plan(), rows(150)) == [(50, 100)]
    assert hub.states() == {"waiting": 150}


def test_a_killed_injection_continues_and_nothing_starts_before_its_end(hub: Hub) -> None:
    hub.inject(plan(), rows(40), seal=False)
    assert hub.cycle() == 0
    hub.inject(plan(), rows(100))
    assert hub.cycle() == 100


def test_a_row_with_other_values_is_refused_with_all_that_came_with_it(hub: Hub) -> None:
    hub.inject(plan(), rows(10))
    with pytest.raises(OtherCampaignError, match="Row 'r3' was injected with other values"):
        hub.inject(plan(), [("new", ["new", "1"]), ("r3", ["r3", "999"])])
    assert hub.states() == {"waiting": 10}


def test_a_changed_document_is_another_campaign(hub: Hub) -> None:
    hub.inject(plan(), rows(1))
    with pytest.raises(OtherCampaignError, match="from another document"):
        hub.inject(plan(retries=3), rows(1))


def test_a_name_is_one_campaign_of_a_centre(hub: Hub) -> None:
    hub.inject(plan(), rows(1))
    bob = Owner("north", "bob", OWNER.iss, "jti-2", ())
    with (
        pytest.raises(OtherCampaignError, match=r"The campaign mc is north\.alice"),
        writing(hub.database) as at,
    ):
        injection.begin(at, plan(), bob, 0.0)


def test_a_cancelled_campaign_is_not_injected_again(hub: Hub) -> None:
    hub.inject(plan(), rows(1))
    hub.act(actions.cancel)
    with pytest.raises(OtherCampaignError, match="is cancelled"):
        hub.inject(plan(), rows(2))


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["a"], "has 1 values; there are 2 columns"),
        (["a", "$$(x)"], "cannot stand"),
        (["a", "\n"], "cannot stand"),
    ],
)
def test_the_hub_checks_rows_itself(hub: Hub, values: list[str], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        hub.inject(plan(), [("good", ["good", "1"]), ("a", values)])
    assert hub.states() == {}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"notes": "\x1b[2J"}, "control character"),
        ({"stages": [{"name": "one"}, {"name": "one"}]}, "two stages are called 'one'"),
        ({"stages": [{"name": "one", "after": "two"}, {"name": "two"}]}, "is no earlier stage"),
        ({"stages": [{"command": ["echo", "{y}"]}]}, "names columns that it has not: y"),
    ],
)
def test_the_hub_checks_the_plan_itself(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        plan(**more)


def test_rows_for_a_stage_that_others_waited_for_come_too_late(hub: Hub) -> None:
    stages = [{"name": "one"}, {"name": "all", "after": "one"}]
    hub.inject(plan(stages=stages), rows(2))
    hub.run(cycles=3)
    with pytest.raises(OtherCampaignError, match="waits for all rows of one has begun"):
        hub.inject(plan(stages=stages), rows(3))


def test_a_stage_without_rows_is_not_complete(hub: Hub) -> None:
    hub.inject(plan(), [], seal=False)
    with pytest.raises(UsageError, match="Stage main has no rows"), writing(hub.database) as connection:
        injection.seal(connection, hub.find(connection), 0.0)


def test_rows_come_in_one_request_up_to_a_bound() -> None:
    with pytest.raises(ValueError, match="at most 20000"):
        NewRows(stage="main", rows=rows(20_001))


def test_a_stage_has_a_bounded_number_of_rows(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(injection, "ROWS", 5)
    hub.inject(plan(), rows(5))
    with pytest.raises(UsageError, match="A stage has at most 5 rows"):
        hub.inject(plan(), rows(6))
    assert hub.states() == {"waiting": 5}

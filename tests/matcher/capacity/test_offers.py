"""Offers: the latest of each centre, until it expires, over a restart; what changed in words; what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from fallow.offers import Condition, Offer, OfferState, Shape
from fallow_matcher.capacity.change import change
from fallow_matcher.capacity.offers import OfferStore
from fallow_matcher.capacity.refusal import refusal

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SHAPE = Shape(cores=4, memory_mb=8000, disk_mb=0, count=2)


def offer(centre: str = "north", *, life: timedelta = timedelta(minutes=5), **more: Any) -> Offer:
    return Offer.model_validate(
        {"centre": centre, "shapes": [SHAPE], "starts": NOW, "expires": NOW + life, **more}
    )


@pytest.fixture
def store(database: Engine) -> OfferStore:
    return OfferStore(database)


def test_the_latest_offer_of_a_centre_counts(store: OfferStore) -> None:
    for pilots in (1, 2):
        store.put(offer(running_pilots=pilots), NOW)
    assert [item.running_pilots for item in store.standing(NOW)] == [2]


def test_an_offer_ends_by_itself(store: OfferStore) -> None:
    store.put(offer(), NOW)
    assert store.standing(NOW + timedelta(minutes=5)) == []


def test_offers_survive_a_restart(database: Engine) -> None:
    first = OfferStore(database)
    first.put(offer("south"), NOW)
    first.put(offer("north", running_pilots=7), NOW)
    again = OfferStore(database)
    assert [(item.centre, item.running_pilots) for item in again.standing(NOW)] == [
        ("north", 7),
        ("south", 0),
    ]


def test_an_offer_that_is_only_renewed_did_not_change(store: OfferStore) -> None:
    store.put(offer(), NOW)
    later = NOW + timedelta(minutes=1)
    store.put(offer(starts=later, expires=later + timedelta(minutes=5), running_pilots=2), later)
    assert [item.at for item in store.changes()] == [NOW]


def test_a_change_is_told_with_its_moment(store: OfferStore) -> None:
    store.put(offer(), NOW)
    later = NOW + timedelta(minutes=1)
    store.put(offer(state=OfferState.DRAINING), later)
    assert [(item.at, item.words) for item in store.changes()] == [
        (later, "north: its offer was open and is draining.")
    ]


def test_a_first_offer_says_its_size() -> None:
    assert change(None, offer()) == "north made an offer: 2 x 4 cores, 8000 MB."


def test_conditions_that_come_and_go_are_named() -> None:
    before = offer(conditions=[Condition(sentence="At night only.")])
    after = offer(conditions=[Condition(sentence="Only urgent work.")])
    assert change(before, after) == (
        "north: new condition: “Only urgent work”; no longer a condition: “At night only”."
    )


def test_what_nodes_bring_beside_cores_is_named_where_it_changed() -> None:
    before = offer(shapes=[SHAPE.model_copy(update={"capabilities": ["fuse"]})])
    after = offer(shapes=[SHAPE.model_copy(update={"disk_mb": 500, "capabilities": ["avx512", "fuse"]})])
    assert change(before, after) == (
        "north: it offers 2 x 4 cores, 8000 MB, 500 MB of scratch instead of 2 x 4 cores, 8000 MB; "
        "its nodes now have avx512."
    )
    assert "its nodes no longer have avx512" in change(after, before)


def test_what_nodes_bring_is_no_news_where_no_pilot_runs_that_found_it() -> None:
    known = offer(shapes=[SHAPE.model_copy(update={"capabilities": ["fuse"]})])
    assert not change(known, offer())
    assert not change(offer(), known)


def test_a_life_that_gets_shorter_is_no_change() -> None:
    shorter = offer(shapes=[SHAPE.model_copy(update={"walltime_s": 100})])
    assert not change(offer(), shorter)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (offer("south"), "centre: the offer is of south, not north."),
        (
            offer(starts=NOW - timedelta(hours=2), expires=NOW),
            "expires: the offer ended at 2026-11-21 00:00:00 UTC, and here it is 2026-11-21 00:00:00 UTC.",
        ),
        (
            offer(starts=NOW + timedelta(minutes=2)),
            "starts: the offer begins at 2026-11-21 00:02:00 UTC, and here it is 2026-11-21 00:00:00 UTC.",
        ),
        (
            offer(life=timedelta(days=8)),
            "expires: an offer stands for 7 days at most, not until 2026-11-29 00:00:00 UTC.",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_reason(sent: Offer, reason: str) -> None:
    assert refusal(sent, "north", NOW) == reason


def test_a_condition_that_is_no_expression_is_refused() -> None:
    sent = offer(conditions=[Condition(sentence="Odd.", requirement="TARGET.Cpus >")])
    reason = refusal(sent, "north", NOW)
    assert reason is not None
    assert reason.startswith("conditions.0.requirement: is not a ClassAd expression")


def test_an_offer_by_a_clock_that_is_a_little_fast_is_taken() -> None:
    assert refusal(offer(starts=NOW + timedelta(seconds=59)), "north", NOW) is None


def now_offered(**more: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return offer(starts=now, expires=now + timedelta(minutes=5)).model_dump(mode="json") | more


def test_the_gateway_shows_what_a_launcher_published(client: TestClient, launcher: dict[str, str]) -> None:
    assert client.put("/v1/offers/north", json=now_offered(), headers=launcher).status_code == 204
    shown = client.get("/v1/offers").json()["offers"]
    assert [(item["centre"], item["shapes"][0]["cores"]) for item in shown] == [("north", 4)]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("north", {"expires": "2026-01-02T00:00:00Z", "starts": "2026-01-01T00:00:00Z"}, 422, "expires: the"),
        ("north", {"centre": "south"}, 422, "centre: the offer is of south, not north."),
        ("south", {"centre": "south"}, 403, "Only the centre's own launcher may do this."),
        ("north", {"shapes": [{"cores": 10**9, "memory_mb": 1, "disk_mb": 1, "count": 1}]}, 422, "cores"),
        (
            "north",
            {"shapes": [{"cores": 1, "memory_mb": 10**12, "disk_mb": 1, "count": 1}]},
            422,
            "memory_mb",
        ),
        ("north", {"running_pilots": 10**9}, 422, "running_pilots"),
        ("north", {"starts": "2100-01-01T00:00:00Z", "expires": "2100-01-02T00:00:00Z"}, 422, "starts: the"),
    ],
)
def test_the_gateway_refuses_with_the_reason(
    client: TestClient, launcher: dict[str, str], path: str, body: dict[str, Any], status: int, said: str
) -> None:
    answer = client.put(f"/v1/offers/{path}", json=now_offered(**body), headers=launcher)
    assert answer.status_code == status
    assert said in answer.json()["error_description"]
    assert client.get("/v1/offers").json() == {"offers": []}


def test_a_user_cannot_publish_an_offer(client: TestClient, alice: dict[str, str]) -> None:
    assert client.put("/v1/offers/north", json=now_offered(), headers=alice).status_code == 403

"""What was offered and used: counted from offers and slots, kept in bounded space, averaged over any time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select

from fallow.offers import Offer, OfferState, Shape
from fallow_matcher.capacity import series
from fallow_matcher.capacity.sample import sample
from fallow_matcher.capacity.tables import MEASURES, POINT
from fallow_matcher.gateway.services import Services

NOW = 1_795_219_200.0
DAY_S = 86_400


def values(**given: float) -> dict[str, float]:
    return {**dict.fromkeys(MEASURES, 0.0), **given}


def rows(database: Engine) -> int:
    with database.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(POINT)).scalar_one())


def offered(state: OfferState = OfferState.OPEN) -> Offer:
    moment = datetime.fromtimestamp(NOW, UTC)
    shapes = [
        Shape(cores=4, memory_mb=1, disk_mb=0, count=2),
        Shape(cores=8, memory_mb=1, disk_mb=0, count=1, gpus=2),
    ]
    expires = moment + timedelta(minutes=5)
    return Offer(centre="north", shapes=shapes, starts=moment, expires=expires, state=state)


def slot(centre: str = "north", free: int = 1, **more: Any) -> dict[str, Any]:
    return {"FallowCentre": centre, "Cpus": free, "TotalSlotCpus": 4, **more}


def test_what_is_offered_running_and_used_is_counted_for_each_centre() -> None:
    found = sample([offered()], [slot(), slot(free=4, GPUs=1, TotalSlotGPUs=2), slot("south")])
    assert found["north"] == {
        "pilots_offered": 3, "cores_offered": 16, "gpus_offered": 2,
        "pilots_running": 2, "cores_running": 8, "cores_used": 3, "gpus_running": 2, "gpus_used": 1,
    }  # fmt: skip
    assert found["south"]["cores_running"] == 4


@pytest.mark.parametrize("state", [OfferState.DRAINING, OfferState.WITHDRAWN])
def test_a_centre_that_takes_nothing_offers_nothing(state: OfferState) -> None:
    assert sample([offered(state)], [])["north"]["cores_offered"] == 0


def test_a_history_is_the_mean_over_each_step(database: Engine) -> None:
    for minute, used in enumerate([0, 4, 4, 8]):
        series.record(database, NOW + 60 * minute, 60, {"north": values(cores_running=8, cores_used=used)})
    step_s, points = series.history(database, NOW, NOW + DAY_S)
    assert step_s == 1800
    assert [(point.cores.used, point.cores.idle) for point in points] == [(4, 4)]


def test_two_samples_of_one_moment_count_as_their_mean(database: Engine) -> None:
    for used in (2, 6):
        series.record(database, NOW, 60, {"north": values(cores_used=used)})
    assert rows(database) == 1
    assert series.history(database, NOW, NOW + 60)[1][0].cores.used == 4


def test_old_points_become_fewer_and_the_mean_stays(database: Engine) -> None:
    for minute in range(120):
        series.record(database, NOW + 60 * minute, 60, {"north": values(cores_used=minute)})
    series.shrink(database, NOW + 2 * DAY_S)
    assert rows(database) == 12
    series.shrink(database, NOW + 20 * DAY_S)
    assert rows(database) == 2
    points = series.history(database, NOW, NOW + DAY_S)[1]
    assert [point.cores.used for point in points] == [pytest.approx(29.5), pytest.approx(89.5)]


def test_what_is_older_than_the_last_span_is_forgotten(database: Engine) -> None:
    series.record(database, NOW, 60, {"north": values()})
    series.shrink(database, NOW + 500 * DAY_S)
    assert rows(database) == 0


def test_shrinking_twice_changes_nothing_more(database: Engine) -> None:
    for minute in range(30):
        series.record(database, NOW + 60 * minute, 60, {"north": values(cores_used=minute)})
    series.shrink(database, NOW + 2 * DAY_S)
    before = series.history(database, NOW, NOW + DAY_S)
    series.shrink(database, NOW + 2 * DAY_S)
    assert series.history(database, NOW, NOW + DAY_S) == before


@given(st.floats(min_value=60, max_value=400 * DAY_S))
def test_an_answer_has_a_bounded_number_of_points(length_s: float) -> None:
    assert length_s / series.step(length_s) <= series.MOST_POINTS


def test_the_gateway_tells_the_history(client: TestClient, services: Services) -> None:
    now = datetime.now(UTC).timestamp()
    series.record(services.database, now - 120, 60, {"north": values(cores_offered=16, cores_running=8)})
    answer = client.get("/v1/capacity/history", params={"since_s": 3600}).json()
    assert answer["step_s"] == 60
    assert [(point["centre"], point["cores"]) for point in answer["points"]] == [
        ("north", {"offered": 16, "running": 8, "idle": 8, "used": 0})
    ]


@pytest.mark.parametrize("since_s", [0, -1, 10**9, "x"])
def test_a_time_without_sense_is_refused(client: TestClient, since_s: object) -> None:
    answer = client.get("/v1/capacity/history", params={"since_s": str(since_s)})
    assert answer.status_code == 422
    assert "since_s" in answer.json()["error_description"]

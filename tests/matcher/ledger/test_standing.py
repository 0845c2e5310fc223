"""Balances: zero-sum, decaying, the same in whatever order they came about."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from fallow.rules import Rules
from fallow_matcher.database import writing
from fallow_matcher.ledger.ingest import record
from fallow_matcher.ledger.run import ended
from fallow_matcher.ledger.standing import standings

from .conftest import DISCONNECTED, EVICTED, NOW, REMOVED, Hub, epoch_ad, job_ad

WEEK = 7 * 86_400
ENDS: list[dict[str, Any]] = [{}, {}, {"ExitCode": 1}, EVICTED, REMOVED]
CENTRES = ("north", "south", "east")


def test_nobody_has_a_standing_in_a_new_federation(hub: Hub) -> None:
    assert hub.standings() == {}


def test_what_one_gave_another_used(hub: Hub) -> None:
    hub.write(epoch_ad(1, start=NOW - 100, wall_s=100))
    hub.look()
    found = hub.standings()
    assert found["south", "cpu"].balance == pytest.approx(200)
    assert found["north", "cpu"].balance == pytest.approx(-200)


def test_a_balance_halves_with_every_half_life(hub: Hub) -> None:
    hub.write(epoch_ad(1, start=NOW - 100, wall_s=100))
    hub.look()
    assert hub.balance("south", now=NOW + WEEK) == pytest.approx(100)
    assert hub.balance("south", now=NOW + 10 * WEEK) == pytest.approx(200 / 1024)


def test_a_run_decays_from_its_end_and_not_from_when_it_was_read(hub: Hub) -> None:
    hub.write(epoch_ad(1, start=NOW - WEEK - 100, wall_s=100))
    hub.look()
    assert hub.balance("south") == pytest.approx(100)


def test_a_credit_line_is_a_share_of_a_half_life_of_what_was_given(hub: Hub) -> None:
    # One core of south, all the time, for many half-lives.
    hub.write(
        *(
            epoch_ad(number, start=NOW - number * 3600, wall_s=3600, FallowWalltime=3600, MachineAttrCpus0=1)
            for number in range(1, 1 + 20 * 24)
        )
    )
    hub.rules = hub.rules.model_copy(update={"half_life_s": 86_400, "credit_line": 0.25})
    hub.look()
    assert hub.standings()["south", "cpu"].credit_line == pytest.approx(0.25 * 86_400, rel=0.02)


def test_a_newcomer_and_who_only_uses_have_no_credit_line(hub: Hub) -> None:
    hub.write(epoch_ad(1))
    hub.look()
    assert hub.standings()["north", "cpu"].credit_line == 0
    assert ("west", "cpu") not in hub.standings()


def test_a_charge_that_is_not_settled_gives_no_credit_line(hub: Hub) -> None:
    hub.look(job_ad(1))
    assert hub.standings()["south", "cpu"].contributed == 0


def test_work_that_was_not_held_out_for_contributes_nothing(hub: Hub) -> None:
    hub.write(epoch_ad(1, **EVICTED), epoch_ad(2, **DISCONNECTED))
    hub.look()
    assert hub.standings() == {}


def test_circular_trades_cancel(hub: Hub) -> None:
    pairs = [("north", "south"), ("south", "east"), ("east", "north")]
    hub.write(
        *(
            epoch_ad(number, FallowUserCentre=consumer, MachineAttrFallowCentre0=provider)
            for number, (consumer, provider) in enumerate(pairs, start=1)
        )
    )
    hub.look()
    assert all(each.balance == pytest.approx(0, abs=1e-9) for each in hub.standings().values())


def history_of(luck: random.Random, count: int) -> list[dict[str, Any]]:
    """Records of runs between random centres, ended in all ways."""
    return [
        epoch_ad(
            number,
            start=NOW - luck.uniform(0, 5 * WEEK),
            wall_s=luck.randint(0, 900),
            FallowUserCentre=luck.choice(CENTRES),
            MachineAttrFallowCentre0=luck.choice(CENTRES),
            MachineAttrCpus0=luck.randint(1, 64),
            **luck.choice(ENDS),
        )
        for number in range(1, count)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_sums_are_what_all_runs_add_up_to(hub: Hub, seed: int) -> None:
    luck = random.Random(seed)
    ads = history_of(luck, 200)
    for first in range(0, len(ads), 50):
        some = ads[first : first + 50]
        hub.look(*(ad for ad in some if luck.random() < 0.5))
        hub.write(*some)
        hub.look()
    expected: dict[str, float] = dict.fromkeys(CENTRES, 0.0)
    for row in hub.runs():
        value = row.value * 2 ** -((NOW - row.ended) / WEEK)
        expected[row.provider] += value
        expected[row.consumer] -= value
    found = {centre: standing.balance for (centre, _), standing in hub.standings().items()}
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert math.fsum(found.values()) == pytest.approx(0, abs=1e-6)


def test_the_order_of_the_records_does_not_matter(hub: Hub) -> None:
    ads = history_of(random.Random(7), 100)
    hub.write(*ads)
    hub.look()
    before = hub.standings()
    with writing(hub.engine) as connection:
        for table in ("job_run", "standing", "standing_epoch"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
        runs = [run for ad in reversed(ads) if (run := ended(ad, hub.rules)) is not None]
        record(connection, runs, hub.rules, hub.now)
    for place, standing in standings(hub.engine, hub.now, hub.rules).items():
        assert standing.balance == pytest.approx(before[place].balance, rel=1e-9, abs=1e-6)


def test_another_half_life_counts_for_all_that_was_before(hub: Hub, rules: Callable[..., Rules]) -> None:
    hub.write(epoch_ad(1, start=NOW - WEEK - 100, wall_s=100))
    hub.look()
    longer = rules(half_life_s=2 * WEEK)
    expected = 200 * 2**-0.5
    assert hub.balance("south", rules=longer) == pytest.approx(expected)
    hub.rules = longer
    hub.look()
    assert hub.balance("south") == pytest.approx(expected)


def test_a_clock_that_jumped_ahead_and_back_leaves_balances_as_they_would_have_been(hub: Hub) -> None:
    hub.write(epoch_ad(1, start=NOW - 100, wall_s=100))
    hub.look()
    hub.now = NOW + 3650 * 86_400
    hub.write(epoch_ad(2, start=hub.now - 100, wall_s=100))
    hub.look()
    hub.now = NOW + 60
    hub.write(epoch_ad(3, start=hub.now - 50, wall_s=50))
    hub.look()
    assert hub.balance("south") == pytest.approx(200 + 200 + 100, rel=0.001)


def test_a_clock_that_jumps_back_by_an_hour_changes_no_balance_much(hub: Hub) -> None:
    hub.write(epoch_ad(1, start=NOW - 100, wall_s=100))
    hub.look()
    hub.now = NOW - 3600
    hub.write(epoch_ad(2, start=hub.now - 100, wall_s=100))
    hub.look()
    assert hub.balance("south") == pytest.approx(400, rel=0.01)


def test_sums_stay_finite_over_years_of_short_half_lives(hub: Hub) -> None:
    hub.rules = hub.rules.model_copy(update={"half_life_s": 3600})
    for year in range(4):
        hub.now = NOW + year * 365 * 86_400
        hub.write(epoch_ad(1 + year, start=hub.now - 100, wall_s=100))
        hub.look()
    assert hub.balance("south") == pytest.approx(200, rel=0.001)

"""Properties of the matching policy."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.matcher.matching.trade import CPU, Place, Trade, shares, standings

from fallow.rules import Rules, default_text, parse_rules
from fallow_matcher.matching.policy import (
    Group,
    balance_factor,
    giving_order,
    longest_wait_s,
    order,
    score,
    worst_ratio,
)

RULES = parse_rules(default_text())
CENTRES = ("alder", "birch", "cedar", "doum")
WORK_TYPES = tuple(RULES.work_types)

waits = st.floats(0, 1e7)
values = st.floats(1, 1e9)
rules = st.builds(
    lambda ageing_s, factor, line, home: RULES.model_copy(
        update={"ageing_s": ageing_s, "balance_factor": factor, "credit_line": line, "home_first": home}
    ),
    st.integers(1, 100_000),
    st.floats(1, 100),
    st.floats(0.001, 1),
    st.booleans(),
)
places = st.builds(Place, st.floats(-1e12, 1e12), st.floats(0, 1e12))
known = st.dictionaries(st.sampled_from([(centre, CPU) for centre in CENTRES]), places)
groups = st.builds(
    Group, st.sampled_from(CENTRES), st.sampled_from(WORK_TYPES), st.just(CPU), waits, st.integers(1, 1000)
)
queues = st.lists(groups, max_size=12, unique_by=lambda group: (group.centre, group.work_type))
trades = st.lists(st.builds(Trade, st.sampled_from(CENTRES), st.sampled_from(CENTRES), values), max_size=30)


@given(places, rules)
def test_the_balance_factor_stays_within_its_bounds(place: Place, terms: Rules) -> None:
    factor = balance_factor(place, terms)

    assert 1 / terms.balance_factor <= factor <= terms.balance_factor


@given(groups, known, rules)
def test_a_score_is_the_product_of_its_parts(
    group: Group, found: dict[tuple[str, str], Place], terms: Rules
) -> None:
    parts = score(group, found, terms)

    assert parts.total == parts.urgency * parts.weight * parts.balance
    assert parts.urgency >= 1


@given(groups, waits, known, rules)
def test_a_longer_wait_never_lowers_the_score(
    group: Group, longer: float, found: dict[tuple[str, str], Place], terms: Rules
) -> None:
    assume(longer >= group.wait_s)

    assert score(replace(group, wait_s=longer), found, terms).total >= score(group, found, terms).total


@given(groups, known, rules)
def test_a_heavier_work_type_scores_higher(
    group: Group, found: dict[tuple[str, str], Place], terms: Rules
) -> None:
    light, heavy = (
        score(replace(group, work_type=work_type), found, terms) for work_type in ("test", "urgent")
    )

    assert heavy.total > light.total


@given(trades, st.sampled_from(CENTRES), st.sampled_from(CENTRES), values, rules)
def test_giving_more_never_lowers_the_giver(
    history: list[Trade], giver: str, taker: str, value: float, terms: Rules
) -> None:
    assume(giver != taker)
    before, after = (
        balance_factor(standings(each, terms).get((giver, CPU)), terms)
        for each in (history, [*history, Trade(giver, taker, value)])
    )

    assert after >= before or math.isclose(after, before, rel_tol=1e-9)


@given(trades, rules)
def test_balances_sum_to_zero(history: list[Trade], terms: Rules) -> None:
    found = standings(history, terms)

    total = sum(place.balance for place in found.values())
    assert total == pytest.approx(0, abs=1e-9 * sum(trade.value for trade in history) + 1e-9)


@given(trades, rules)
def test_a_newcomer_stands_at_the_floor_and_nobody_below_it(history: list[Trade], terms: Rules) -> None:
    found = standings(history, terms)

    newcomer = balance_factor(found.get(("newcomer", CPU)), terms)
    assert newcomer == 1 / terms.balance_factor
    assert all(balance_factor(place, terms) >= newcomer for place in found.values())


@given(trades, st.sampled_from(CENTRES), rules)
def test_leaving_and_returning_under_another_name_gains_nothing(
    history: list[Trade], centre: str, terms: Rules
) -> None:
    found = standings(history, terms)

    stays = balance_factor(found.get((centre, CPU)), terms)
    assert balance_factor(found.get((f"{centre}-again", CPU)), terms) <= stays


@given(trades, st.permutations(CENTRES), st.integers(2, 4), values, st.integers(1, 20), rules)
def test_circular_trades_lift_nobody(
    history: list[Trade], ring: list[str], length: int, value: float, times: int, terms: Rules
) -> None:
    members = ring[:length]
    circle = [
        Trade(provider, consumer, value)
        for provider, consumer in zip(members, [*members[1:], members[0]], strict=True)
    ]
    before, after = standings(history, terms), standings([*history, *circle * times], terms)

    for centre in members:
        was, is_now = (balance_factor(found.get((centre, CPU)), terms) for found in (before, after))
        assert is_now <= was or math.isclose(is_now, was, rel_tol=1e-6)


@given(trades, st.sampled_from(CENTRES), st.lists(st.booleans(), min_size=30, max_size=30), rules)
def test_of_two_halves_of_a_centre_not_both_stand_higher(
    history: list[Trade], centre: str, choice: list[bool], terms: Rules
) -> None:
    def half(name: str, one: bool) -> str:
        return f"{centre}-{one:d}" if name == centre else name

    split = [
        Trade(half(trade.provider, one), half(trade.consumer, one), trade.value)
        for trade, one in zip(history, choice, strict=False)
    ]
    whole = balance_factor(standings(history, terms).get((centre, CPU)), terms)
    halves = standings(split, terms)

    lower = min(balance_factor(halves.get((f"{centre}-{one}", CPU)), terms) for one in (0, 1))
    assert lower <= whole or math.isclose(lower, whole, rel_tol=1e-6)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 12), st.integers(1, 23))
def test_a_centre_that_splits_in_two_gets_no_more_of_a_saturated_pool(machines: int, jobs: int) -> None:
    """Its machines and its waiting work are divided at will; a third centre is as large as the two together."""
    terms = RULES.model_copy(update={"half_life_s": RULES.ageing_s * 24})
    whole = shares({"one": 12, "other": 12}, {"one": 24, "other": 24}, terms, rounds=100)
    split = shares(
        {"one": machines, "two": 12 - machines, "other": 12},
        {"one": jobs, "two": 24 - jobs, "other": 24},
        terms,
        rounds=100,
    )

    assert split["one"] + split["two"] <= whole["one"] + 0.05 * 12


@settings(max_examples=5, deadline=None)
@given(st.integers(10, 45))
def test_a_centre_that_comes_back_under_another_name_gets_no_more(leaves: int) -> None:
    """A rider gives nothing; after some rounds it appears as a centre that nobody knows."""
    slots, terms = {"giver": 12}, RULES.model_copy(update={"home_first": False})
    stays = shares(slots, {"giver": 24, "rider": 24}, terms, rounds=100)
    returns = shares(
        slots, {"giver": 24, "rider": 0, "newcomer": 24}, terms, rounds=100, joins_at={"newcomer": leaves}
    )

    assert returns["newcomer"] <= stays["rider"] + 0.05 * 12


@given(queues, known, rules, st.permutations(CENTRES))
def test_renaming_centres_renames_the_order(
    queue: list[Group], found: dict[tuple[str, str], Place], terms: Rules, others: list[str]
) -> None:
    names = dict(zip(CENTRES, others, strict=True))
    renamed = order(
        [replace(group, centre=names[group.centre]) for group in queue],
        {(names[centre], resource): place for (centre, resource), place in found.items()},
        terms,
        names["alder"],
    )
    back = {
        (entry.group.centre, entry.group.work_type): entry.place
        for entry in order(queue, found, terms, "alder")
    }

    assert {(entry.group.centre, entry.group.work_type): entry.place for entry in renamed} == {
        (names[centre], work_type): place for (centre, work_type), place in back.items()
    }


@given(queues, known, rules)
def test_home_comes_first_where_the_rules_say_so(
    queue: list[Group], found: dict[tuple[str, str], Place], terms: Rules
) -> None:
    ranked = order(queue, found, terms, "alder")
    at_home = [entry.group.centre == "alder" for entry in ranked]

    if terms.home_first:
        assert at_home == sorted(at_home, reverse=True)
    else:
        assert [entry.score.total for entry in ranked] == sorted(
            (entry.score.total for entry in ranked), reverse=True
        )


@given(queues, known, rules)
def test_equal_scores_share_a_place_and_higher_ones_come_before(
    queue: list[Group], found: dict[tuple[str, str], Place], terms: Rules
) -> None:
    ranked = order(queue, found, terms)

    for entry in ranked:
        assert entry.place == 1 + sum(other.score.total > entry.score.total for other in ranked)


@given(known)
def test_who_gave_least_gives_next(found: dict[tuple[str, str], Place]) -> None:
    def part(centre: str) -> float:
        place = found[centre, CPU]
        return place.balance / place.credit_line

    assume(all(place.credit_line > 0 for place in found.values()))
    places_of = giving_order([centre for centre, _ in found], CPU, found)

    for one in places_of:
        for other in places_of:
            assert (places_of[one] < places_of[other]) == (part(one) < part(other))


@given(waits, waits, st.sampled_from(WORK_TYPES), st.sampled_from(WORK_TYPES), known, rules)
def test_a_job_is_overtaken_only_by_those_that_came_soon_after_it(
    wait: float, other: float, own: str, theirs: str, found: dict[tuple[str, str], Place], terms: Rules
) -> None:
    mine = score(Group("alder", own, CPU, wait, 1), found, terms)
    # How long after ours the other job came.
    assume(wait - other > (1 - 1 / worst_ratio(terms)) * (wait + terms.ageing_s) * (1 + 1e-9) + 1e-6)

    assert score(Group("birch", theirs, CPU, other, 1), found, terms).total < mine.total * (1 + 1e-9)


@given(st.floats(0, 0.99), st.floats(0, 1e6))
def test_nothing_starves_below_full_load(load: float, backlog_s: float) -> None:
    """In the worst case all that comes while the bound allows it goes first; then the job's turn has come."""
    bound = longest_wait_s(RULES, load, backlog_s)
    overtaking = load * (1 - 1 / worst_ratio(RULES)) * (bound + RULES.ageing_s)

    assert backlog_s - 1e-6 <= bound < math.inf
    assert backlog_s + overtaking == pytest.approx(bound, rel=1e-6, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_worst_group_waits_no_longer_than_the_bound(data: st.DataObject) -> None:
    """One slot, one job a minute; whoever comes later is of the heaviest kind and of the centre that gave most."""
    found = {("alder", CPU): Place(-1.0, 1.0), ("birch", CPU): Place(1.0, 1.0)}
    backlog = data.draw(st.integers(0, 50))
    every = data.draw(st.integers(2, 5))  # a job every `every` minutes: load 1/every
    queue = [Group("birch", "urgent", CPU, 0.0, 1) for _ in range(backlog)]
    minute = 0
    while True:
        if minute and minute % every == 0:
            queue.append(Group("birch", "urgent", CPU, 0.0, 1))
        ours = Group("alder", "test", CPU, minute * 60.0, 1)
        best = order([ours, *queue], found, RULES)[0].group
        if best is ours:
            break
        queue.remove(best)
        queue = [replace(group, wait_s=group.wait_s + 60) for group in queue]
        minute += 1

    assert minute * 60 <= longest_wait_s(RULES, 1 / every, backlog * 60) + 120


def test_capacity_that_no_job_can_use_earns_nothing() -> None:
    """Standings come from runs, and there are none; offers are no part of the policy."""
    assert standings([], RULES) == {}
    assert balance_factor(None, RULES) == 1 / RULES.balance_factor
    assert standings([Trade("alder", "alder", 1e9)], RULES) == {}

"""The decision as a document."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tests.matcher.matching.trade import CPU, Place

from fallow.rules import default_text, digest_of, parse_rules
from fallow_matcher.matching.decision import Decision, decide, file_of, following, last, store
from fallow_matcher.matching.policy import Group
from fallow_matcher.rules import InForce

RULES = InForce(parse_rules(default_text()), digest_of(default_text()), 1, datetime(2026, 1, 1, tzinfo=UTC))
STANDINGS = {("alder", CPU): Place(10.0, 10.0), ("birch", CPU): Place(-10.0, 5.0)}


def decided(*groups: Group, at: float = 100.0) -> Decision:
    return decide(groups, {CPU: {"alder", "birch", "cedar"}}, STANDINGS, RULES, at)


def group(centre: str, work_type: str = "test", wait_s: float = 0.0) -> Group:
    return Group(centre, work_type, CPU, wait_s, 1)


def test_a_decision_says_who_ranks_where_and_why() -> None:
    found = decided(group("birch"), group("alder"))

    assert [(place.centre, place.place, place.balance_factor) for place in found.places] == [
        ("alder", 1, 8.0),
        ("birch", 2, 0.125),
    ]
    assert found.places[0].total == 1.0 * 0.5 * 8.0
    assert found.giving == {CPU: {"birch": 1, "cedar": 2, "alder": 3}}


def test_groups_of_different_classes_do_not_compete() -> None:
    other = replace(group("birch"), resource_class="gpu:a100")

    assert [place.place for place in decided(group("alder"), other).places] == [1, 1]


def test_a_decision_is_read_back_as_it_was_stored(tmp_path: Path) -> None:
    found = following(None, decided(group("alder")))

    store(tmp_path, found)

    assert last(tmp_path) == found


def test_there_is_no_decision_before_the_first_and_none_in_a_broken_file(tmp_path: Path) -> None:
    assert last(tmp_path) is None
    file_of(tmp_path).parent.mkdir()
    file_of(tmp_path).write_text('{"at": 1')

    assert last(tmp_path) is None


def test_what_changed_is_said_in_words_and_kept_until_the_next_change() -> None:
    first = following(None, decided(group("alder"), group("birch")))
    second = following(first, decided(group("birch", wait_s=1e6), group("alder"), at=200.0))
    third = following(second, decided(group("birch", wait_s=1e6), group("alder"), at=300.0))

    assert second.change == "Moved: birch test (cpu) from place 2 to 1, alder test (cpu) from place 1 to 2."
    assert second.changed_at == third.changed_at == 200.0
    assert third.change == second.change


def test_who_comes_and_goes_is_said() -> None:
    first = following(None, decided(group("alder")))

    assert following(first, decided(group("birch"), at=200.0)).change == (
        "Now waits: birch test (cpu) at place 1; waits no more: alder test (cpu)."
    )

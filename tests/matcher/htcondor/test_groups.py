"""What the matcher writes for the negotiator."""

from __future__ import annotations

import classad2
import pytest

from fallow_matcher.htcondor.groups import render


def preference(text: str, slot_centre: str, user_centre: str) -> int:
    expression = next(line for line in text.splitlines() if line.startswith("FALLOW_GIVES_NEXT"))
    slot = classad2.ClassAd({"FallowCentre": slot_centre})
    job = classad2.ClassAd({"FallowUserCentre": user_centre})
    return int(classad2.ExprTree(expression.partition(" = ")[2]).eval(slot, job))


@pytest.mark.parametrize("user", ["doum", "ebony"])
def test_a_job_goes_to_whoever_gave_least(user: str) -> None:
    text = render(["alder", "birch", "cedar", "doum"], {"alder": 3, "birch": 1, "cedar": 2}, home_first=True)

    order = sorted(("alder", "birch", "cedar"), key=lambda slot: preference(text, slot, user), reverse=True)
    assert order == ["birch", "cedar", "alder"]


def test_a_job_prefers_its_own_centre() -> None:
    text = render(["alder", "birch"], {"alder": 2, "birch": 1}, home_first=True)

    assert preference(text, "alder", "alder") > preference(text, "birch", "alder")


def test_centres_are_groups_where_home_comes_first() -> None:
    assert "GROUP_NAMES = alder, birch\n" in render(["birch", "alder"], {}, home_first=True)
    assert "GROUP_NAMES = \n" in render(["birch", "alder"], {}, home_first=False)

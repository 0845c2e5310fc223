"""What is said of jobs that are not submitted yet is what would be said of them in the queue."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fallow.errors import RefusedError
from fallow.fits import FitAnswer, FitRequest
from fallow.offers import Condition, Offer, Shape
from fallow.queue.session import bindings
from fallow.rules import default_text, digest_of, parse_rules
from fallow_matcher.explain.fence import Fence
from fallow_matcher.explain.hypothetical import Person, fit
from fallow_matcher.explain.situation import Situation
from fallow_matcher.rules import InForce

NOW = time.time()
RULES = InForce(parse_rules(default_text()), digest_of(default_text()), 1, datetime.now(UTC))
ALICE = Person("alder.alice", "alder", projects=["phage"], forbidden=["urgent"])


@pytest.fixture(autouse=True)
def _library() -> None:
    bindings()


def offer(centre: str = "birch", *conditions: Condition, **shape: Any) -> Offer:
    begin = datetime.fromtimestamp(NOW - 5, UTC)
    size = {"cores": 2, "memory_mb": 2048, "disk_mb": 0, "count": 1, "walltime_s": 7200, **shape}
    return Offer(
        centre=centre,
        shapes=[Shape.model_validate(size)],
        starts=begin,
        expires=begin + timedelta(minutes=5),
        conditions=list(conditions),
    )


def situation(*offers: Offer) -> Situation:
    return Situation(now=NOW, job=None, rules=RULES, offers=offers, centres=["alder", "birch"])


def said(*offers: Offer, **asked: Any) -> FitAnswer:
    return fit(situation(*offers), FitRequest(**asked), ALICE)


def test_what_fits_is_told_with_where() -> None:
    found = said(offer())
    assert found.fits
    assert found.summary.startswith("It fits birch, but no pilot of theirs is in the pool")


def test_what_fits_nowhere_is_told_with_the_nearest_change() -> None:
    found = said(offer(), memory_mb=98304)
    assert (found.fits, found.impossible) == (False, False)
    assert found.summary == (
        "No offer can take the job as it is: needs 96 GB of memory; birch offers 2 GB per node. "
        "Nearest change: ask for at most 2 GB of memory."
    )


def test_a_centre_that_is_not_the_one_that_is_asked_for_says_so() -> None:
    assert "may run at alder only" in said(offer(), centre="alder").summary


def test_who_asks_and_for_what_counts_as_in_the_queue() -> None:
    own = Condition(sentence="Only users of birch.", requirement='(TARGET.FallowUserCentre =?= "birch")')
    offline = Condition(sentence="No network.", requirement="(TARGET.FallowNetwork =?= false)")
    assert "birch says: “Only users of birch.”" in said(offer("birch", own)).summary
    assert "declare that it needs no network" in said(offer("birch", offline)).summary
    assert said(offer("birch", offline), network=False).fits


def test_a_gpu_model_that_is_not_there_is_told_by_its_name() -> None:
    wish = 'regexp("A100 [(]40GB[)]", TARGET.FallowGpuModel, "i")'
    v100, a100 = offer(gpus=1, gpu_model="Tesla V100"), offer(gpus=1, gpu_model="NVIDIA a100 (40GB)")
    assert "needs a GPU whose model is like A100 (40GB); birch has Tesla V100" in (
        said(v100, gpus=1, requirements=wish).summary
    )
    assert said(a100, gpus=1, requirements=wish).fits


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"centre": "aldr"}, "There is no centre 'aldr'; there are alder, birch."),
        ({"work_type": "analysys"}, "There is no work type 'analysys'; there are analysis, "),
        ({"work_type": "urgent"}, "is for members of a group only"),
        ({"project": "other"}, "You are no member of a project 'other'."),
        ({"requirements": "TARGET.Cpus >"}, "is not a ClassAd expression"),
        ({"requirements": "true] [x = 1"}, "The requirement is"),
    ],
)
def test_what_can_never_be_is_told_apart(asked: dict[str, Any], why: str) -> None:
    found = said(offer(), **asked)
    assert found.impossible
    assert why in found.summary


def test_behind_the_fence_each_request_has_its_answer() -> None:
    requests = [FitRequest(), FitRequest(cores=64), FitRequest(centre="nowhere")]
    found = Fence().fit(situation(offer()), requests, ALICE).answers
    assert [(each.fits, each.impossible) for each in found] == [(True, False), (False, False), (False, True)]
    assert found == [fit(situation(offer()), request, ALICE) for request in requests]


def test_an_expression_that_takes_too_long_is_refused() -> None:
    sums = "; ".join(f"a{number} = a{number - 1} + a{number - 1}" for number in range(1, 41))
    slow = FitRequest(requirements=f"[a0 = TARGET.Cpus; {sums}].a40 > 0")
    many = [offer(f"c{number}") for number in range(500)]
    with pytest.raises(RefusedError, match="reasonable time"):
        Fence().fit(situation(*many), [slow] * 40, ALICE)

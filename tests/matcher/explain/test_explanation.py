"""What is said of a job in every state that it can be in, from nothing but its situation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fallow.errors import RefusedError
from fallow.explanations import EventKind, Explanation
from fallow.offers import Condition, Offer, OfferState, Shape
from fallow.queue.records import JobState
from fallow.queue.session import bindings
from fallow.rules import default_text, digest_of, parse_rules
from fallow_matcher.capacity.offers import Change
from fallow_matcher.explain.explanation import explain
from fallow_matcher.explain.fence import Fence
from fallow_matcher.explain.order import ATTRIBUTES, Waiter, waiter
from fallow_matcher.explain.situation import Situation
from fallow_matcher.matching.decision import Decision
from fallow_matcher.rules import InForce

NOW = float(int(time.time()))
IMAGE = f"/fallow/images/sha256-{'a' * 64}.sif"
REQUIREMENTS = "(TARGET.Memory >= RequestMemory) && (TARGET.Cpus >= RequestCpus) && TARGET.HasSIF"
RULES = InForce(
    parse_rules(default_text()), digest_of(default_text()), 1, datetime.fromtimestamp(NOW - 9000, UTC)
)


def ad(requirements: str = REQUIREMENTS, **changes: Any) -> Any:
    bindings()
    import classad2

    made = classad2.ClassAd({
        "ClusterId": 7, "ProcId": 0, "FallowName": "align", "JobStatus": 1, "JobUniverse": 5,
        "ContainerImage": IMAGE, "FallowWalltime": 3600, "FallowWorkType": "analysis",
        "FallowUserCentre": "alder", "RequestCpus": 1, "RequestMemory": 512, "RequestDisk": 1024,
        "QDate": int(NOW) - 60, "User": "alder.alice@example.org", **changes,
    })  # fmt: skip
    made["Requirements"] = classad2.ExprTree(requirements)
    return made


def offer(
    centre: str = "birch", *conditions: Condition, state: OfferState = OfferState.OPEN, **shape: Any
) -> Offer:
    begin = datetime.fromtimestamp(NOW - 5, UTC)
    size = {"cores": 2, "memory_mb": 2048, "disk_mb": 0, "count": 1, "walltime_s": 7200, **shape}
    return Offer(
        centre=centre,
        shapes=[Shape.model_validate(size)],
        starts=begin,
        expires=begin + timedelta(minutes=5),
        conditions=list(conditions),
        state=state,
    )


def slot(centre: str = "birch", *, free: int = 2, left_s: float = 7000, pilot: int = 1) -> dict[str, Any]:
    return {
        "FallowCentre": centre, "FallowPilot": f"{centre}-{pilot}", "FallowUntil": int(NOW + left_s), "Cpus": free,
        "Memory": 1024 * free, "Disk": 10**9, "TotalSlotCpus": 2, "TotalSlotMemory": 2048, "DaemonStartTime": NOW - 900,
    }  # fmt: skip


def other(number: int, centre: str = "cedar", wait_s: float = 900, work_type: str = "analysis") -> Waiter:
    return waiter({
        **{name: ad().get(name) for name in ATTRIBUTES}, "ClusterId": number, "FallowUserCentre": centre,
        "QDate": NOW - wait_s, "FallowWorkType": work_type, "LastHoldReasonCode": 16,
    })  # fmt: skip


def situation(job: Any | None = None, **more: Any) -> Situation:
    asked = job if job is not None else ad()
    waits = [waiter(asked)] if asked["JobStatus"] == 1 else []
    more["waiters"] = [*waits, *more.get("waiters", [])]
    return Situation(**{"now": NOW, "job": asked, "rules": RULES, "centres": ["alder", "birch"], **more})


def told(job: Any | None = None, **more: Any) -> Explanation:
    return explain(situation(job, **more))


def words(found: Explanation) -> dict[str, str]:
    return {verdict.centre: verdict.words for verdict in found.verdicts}


def test_without_any_offer_nothing_can_start() -> None:
    found = told()
    assert found.summary == "No centre offers capacity now; the job waits until one does."
    assert words(found) == {"alder": "alder offers nothing now.", "birch": "birch offers nothing now."}


def test_a_job_too_big_for_all_is_told_the_nearest_change() -> None:
    found = told(
        ad(RequestMemory=98304), offers=[offer(memory_mb=65536), offer("alder", memory_mb=65536, cores=1)]
    )
    assert found.summary.startswith("No offer can take the job as it is: needs 96 GB of memory; ")
    assert words(found)["birch"] == (
        "Needs 96 GB of memory; birch offers 64 GB per node. Nearest change: ask for at most 64 GB of memory."
    )
    assert not any(verdict.fits for verdict in found.verdicts)


def test_of_several_shapes_the_nearest_is_told() -> None:
    big = offer()
    shapes = [big.shapes[0], big.shapes[0].model_copy(update={"cores": 16, "memory_mb": 1024})]
    found = told(
        ad(RequestCpus=8, RequestMemory=4096), offers=[big.model_copy(update={"shapes": shapes})], centres=[]
    )
    assert words(found) == {
        "birch": "Needs 4 GB of memory; birch offers 1 GB per node. Nearest change: ask for at most 1 GB of memory."
    }


def test_a_condition_is_told_in_the_offers_own_sentence() -> None:
    urgent = Condition(sentence="Only urgent work.", requirement='TARGET.FallowWorkType =?= "urgent"')
    found = told(offers=[offer("birch", urgent)])
    assert found.verdicts[0].obstacles[0].reason == "birch says: “Only urgent work.”"
    assert found.verdicts[0].obstacles[0].change == "submit it as work type urgent"


@pytest.mark.parametrize(
    ("state", "said"),
    [(OfferState.DRAINING, "Birch is draining: it takes nothing new."), (OfferState.WITHDRAWN, "withdrawn")],
)
def test_a_centre_that_takes_nothing_says_so(state: OfferState, said: str) -> None:
    found = told(offers=[offer(state=state)])
    assert said in words(found)["birch"]
    assert not found.verdicts[0].fits


def test_a_job_that_fits_where_there_is_room_should_start_soon() -> None:
    found = told(offers=[offer()], slots=[slot()])
    assert found.summary == "It fits birch, and birch has room for it now: it should start within seconds."
    assert (found.verdicts[0].pilots, found.verdicts[0].room) == (1, 1)


def test_where_all_are_busy_the_jobs_that_come_first_are_counted() -> None:
    found = told(offers=[offer()], slots=[slot(free=0)], waiters=[other(1), other(9, wait_s=1)])
    assert found.summary == (
        "It fits birch, whose pilots are all busy. 1 of the 3 waiting jobs come before it."
    )
    assert found.verdicts[0].ahead == 1
    assert found.place is not None
    assert found.place.score == pytest.approx(found.place.urgency * found.place.weight * found.place.balance)


def test_on_its_own_centres_slots_strangers_do_not_come_first() -> None:
    found = told(offers=[offer(), offer("alder")], waiters=[other(1)])
    assert {verdict.centre: verdict.ahead for verdict in found.verdicts} == {"alder": 0, "birch": 1}


def test_an_offer_without_a_pilot_yet_says_so() -> None:
    found = told(offers=[offer()])
    assert "no pilot of theirs is in the pool" in found.summary
    assert words(found)["birch"] == "Fits; birch has no pilot in the pool now."


def test_a_job_longer_than_what_is_left_of_every_pilot_is_told_so() -> None:
    found = told(offers=[offer()], slots=[slot(left_s=600)])
    assert "no pilot there lives that long any more; a new pilot would take it" in found.summary
    assert "lives long enough for 1 h (at most 10 min are left)" in words(found)["birch"]


def test_an_image_that_the_hub_does_not_have_is_told_first() -> None:
    assert told(offers=[offer()], image_there=False).summary.startswith(
        "The hub does not have the job's image"
    )


def test_a_held_job_says_why_and_what_to_do() -> None:
    found = told(ad(JobStatus=5, HoldReasonCode=21, HoldReasonSubCode=102, HoldReason="It used 900 MB."))
    assert found.state is JobState.HELD
    assert found.summary == (
        "It is held and does not go on by itself: It used 900 MB. Submit it again with more memory."
    )


def test_a_job_whose_files_are_on_the_way_is_not_called_held() -> None:
    found = told(ad(JobStatus=5, HoldReasonCode=16, HoldReason="Spooling input data files"))
    assert found.state is JobState.STAGING
    assert found.summary.startswith("Its input files are still being sent")


RUNNING: Mapping[str, Any] = {
    "JobStatus": 2,
    "JobCurrentStartDate": int(NOW) - 30,
    "MachineAttrFallowCentre0": "birch",
    "MachineAttrFallowPilot0": "birch-1",
}


def test_a_running_job_says_where_since_when_and_why() -> None:
    giving = {"cpu": {"birch": 1, "cedar": 2}}
    decision = Decision(NOW - 3, 1, RULES.digest, (), giving, NOW - 40, "Now waits: alder analysis (cpu).")
    found = told(
        ad(**RUNNING), offers=[offer()], slots=[slot(free=1)], whole=[slot(free=1)], decision=decision
    )
    assert found.summary == "It runs at birch since 30 s."
    assert found.run is not None
    assert found.run.why == [
        "birch took it as work of alder: no job of its own that fitted was waiting for the slot.",
        "Among the centres that could take it, birch is number 1 of 2 to give: who gave least so far gives next.",
        "It started 30 s after it was submitted.",
        "Its pilot birch-1 was there before it.",
        "Should birch not have its image yet, the image is fetched before it computes.",
    ]
    assert found.place is None


def test_a_job_that_runs_at_home_says_that_home_goes_first() -> None:
    found = told(ad(**RUNNING, FallowUserCentre="birch"))
    assert found.run is not None
    assert found.run.why[0] == "birch is the centre of its owner, and its own jobs go first on its slots."


def test_a_pilot_that_came_for_the_job_is_told() -> None:
    young = {**slot(free=1), "DaemonStartTime": NOW - 32}
    found = told(ad(**RUNNING), whole=[young])
    assert found.run is not None
    assert "It waited for capacity: its pilot birch-1 joined 2 s before." in found.run.why


def test_an_ended_job_says_where_it_ran_and_how_it_ended() -> None:
    found = told(ad(**{**RUNNING, "JobStatus": 4}, ExitCode=3, CompletionDate=int(NOW) - 10))
    assert found.summary.startswith("It ran at birch for 20 s and ended with exit code 3 on ")
    assert found.verdicts == []


def test_a_removed_job_says_who_removed_it() -> None:
    found = told(ad(JobStatus=3, RemoveReason="Removed by owner"))
    assert found.summary == "It was removed: Removed by owner."


def test_what_changed_last_comes_latest_first() -> None:
    lost = ad(
        LastVacateTime=int(NOW) - 20, NumVacates=1, VacateReason="The pilot is stopping",
        LastRemoteHost="slot1_1@birch-1@birch-1",
    )  # fmt: skip
    change = Change(
        datetime.fromtimestamp(NOW - 50, UTC), "birch", "birch made an offer: 1 x 2 cores, 2048 MB."
    )
    found = told(lost, changes=[change])
    assert [(event.kind, event.words) for event in found.changes] == [
        (EventKind.EVICTION, "It lost its place at birch-1: The pilot is stopping."),
        (EventKind.OFFER, "birch made an offer: 1 x 2 cores, 2048 MB."),
        (EventKind.RULES, "Version 1 of the rules took effect."),
    ]


def test_a_hostile_text_is_made_fit_to_show() -> None:
    found = told(ad(JobStatus=5, HoldReason="no\x1b[2J\nline", FallowName="a\x07b"))
    assert "\x1b" not in found.summary + found.name
    assert "\n" not in found.summary


@pytest.fixture(scope="module")
def fence() -> Fence:
    return Fence()


def test_the_fence_gives_the_same_answer(fence: Fence) -> None:
    import classad2

    asked = situation(offers=[offer()], slots=[slot()], whole=[classad2.ClassAd(slot())])
    assert fence.explain(asked) == explain(asked)


def test_requirements_that_take_too_long_are_refused_in_seconds(fence: Fence) -> None:
    import classad2

    slow = ad("TARGET.Cpus >= A40", A0=1)
    for number in range(1, 41):
        slow[f"A{number}"] = classad2.ExprTree(f"A{number - 1} + A{number - 1}")
    with pytest.raises(RefusedError, match="cannot be evaluated in reasonable time"):
        fence.explain(situation(slow, offers=[offer(f"c{number}") for number in range(500)]))

"""Why jobs of a real queue wait, run, ended or are held, in the words of `fallow explain`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.pilots.sites import Site

from fallow.client import connect
from fallow.explanations import EventKind, Explanation, Verdict
from fallow.hub import HubRefusedError
from fallow.queue.hub import open_queue
from fallow.queue.records import JobState
from fallow.queue.spec import JobSpec
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

TOO_BIG: dict[str, tuple[dict[str, Any], str, str]] = {
    "memory": (
        {"memory_mb": 98304},
        "Needs 96 GB of memory; birch offers 2 GB per node.",
        "ask for at most 2 GB of memory",
    ),
    "cores": ({"cores": 64}, "Needs 64 cores; birch offers 2 cores per node.", "ask for at most 2 cores"),
    "disk": ({"disk_mb": 10**9}, "Needs 953.7 TB of scratch; birch offers ", "ask for at most "),
    "gpus": ({"gpus": 1}, "Needs 1 GPU; birch offers none per node.", ""),
    "walltime": ({"walltime_s": 864_000}, "Asks for 10 d; pilots at birch stay ", "ask for at most "),
}
"""What is asked, what is said of birch, and the change that is told."""

AT_CEDAR = {"centre": "cedar", "cores": 2, "argv": ("sleep", "600")}


def submitted(specs: dict[str, dict[str, Any]], image: str, directory: Path, run: str) -> dict[str, str]:
    """Submit jobs; name → id. Called at the desk."""
    usual = {
        "run": run, "image": image, "directory": directory, "memory_mb": 512, "disk_mb": 256, "walltime_s": 1200,
        "argv": ("sleep", "600"),
    }  # fmt: skip
    queue = open_queue(connect())
    ids = queue.submit(
        [JobSpec(**{**usual, "key": name, "name": name, **spec}) for name, spec in specs.items()]
    )
    return dict(zip(specs, ids, strict=True))


def removed(run: str) -> None:
    """Remove the jobs of a run; called at the desk."""
    open_queue(connect()).remove(run=run)


def taken(job: str) -> None:
    """Let the queue forget a finished job; called at the desk."""
    open_queue(connect()).take([job])


def explained(job: str) -> Explanation:
    """The explanation of a job; called at the desk."""
    return connect().explain(job)


def refused(job: str) -> tuple[int, str]:
    """How the hub refuses to explain a job; called at the desk."""
    with pytest.raises(HubRefusedError) as refusal:
        connect().explain(job)
    return refusal.value.status, refusal.value.what


def printed(job: str) -> str:
    """What `fallow explain` prints; called at the desk."""
    argv = [str(Path(sys.executable).with_name("fallow")), "explain", job]
    return subprocess.run(argv, text=True, capture_output=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def jobs(
    at: Callable[..., Any], image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Jobs of alice (of alder) and mona (of cedar), by name; removed after the last test."""
    directory, run = tmp_path_factory.mktemp("jobs"), f"explain-{os.getpid()}"
    hers = {name: spec for name, (spec, _, _) in TOO_BIG.items()}
    hers |= {"runs": {"centre": "alder"}, "done": {"argv": ("true",)}, "held": {"walltime_s": 5}}
    found = at("alice", submitted, hers, image, directory, run)
    found |= at("mona", submitted, {"first": AT_CEDAR}, image, directory, run)
    yield found
    for person in ("alice", "mona"):
        at(person, removed, run)


def until(call: Callable[[], Explanation], wanted: JobState | Callable[[Explanation], bool]) -> Explanation:
    """The explanation, once the job is in a state, or what is wanted is true of it."""
    seen: list[Explanation] = []

    def reached() -> bool:
        seen.append(call())
        return seen[-1].state is wanted if isinstance(wanted, JobState) else wanted(seen[-1])

    wait_until(reached, "What is wanted of the explanation", 240, pause_s=0.6)
    return seen[-1]


def _of(found: Explanation, centre: str) -> Verdict:
    return next(
        (verdict for verdict in found.verdicts if verdict.centre == centre),
        Verdict(centre=centre, fits=False, words="nothing is said of it"),
    )


@pytest.mark.parametrize("what", list(TOO_BIG))
def test_a_job_too_big_is_told_by_how_much_at_each_offer(
    jobs: dict[str, str], at: Callable[..., Any], what: str
) -> None:
    _, reason, change = TOO_BIG[what]
    # What an offer does not say of scratch is seen at a pilot of the centre; pilots without work come and go.
    found = until(
        lambda: at("alice", explained, jobs[what]),
        lambda seen: seen.state is JobState.WAITING and _of(seen, "birch").pilots > 0,
    )
    verdicts = {verdict.centre: verdict for verdict in found.verdicts}
    assert set(verdicts) == {"alder", "birch", "cedar"}
    assert not any(verdict.fits for verdict in found.verdicts if verdict.pilots)
    assert verdicts["birch"].words.startswith(reason)
    assert verdicts["birch"].obstacles[0].change.startswith(change)


def test_a_running_job_says_where_since_when_and_why(jobs: dict[str, str], at: Callable[..., Any]) -> None:
    found = until(lambda: at("alice", explained, jobs["runs"]), JobState.RUNNING)
    assert found.run is not None
    assert found.summary.startswith(f"It runs at {found.run.centre} since ")
    assert found.run.pilot.startswith(f"{found.run.centre}-")
    assert any("after it was submitted" in sentence for sentence in found.run.why)
    assert next(verdict.fits for verdict in found.verdicts if verdict.centre == found.run.centre)


def test_a_job_that_ended_is_explained_from_the_queue_and_from_its_history(
    jobs: dict[str, str], at: Callable[..., Any]
) -> None:
    found = until(
        lambda: at("alice", explained, jobs["done"]),
        # the queue says a moment later for how long it ran
        lambda seen: seen.state is JobState.FINISHED and "unknown time" not in seen.summary,
    )
    assert found.run is not None
    assert f"It ran at {found.run.centre} for " in found.summary
    assert "ended with exit code 0" in found.summary
    at("alice", taken, jobs["done"])
    later = at("alice", explained, jobs["done"])
    assert later.state is JobState.FINISHED
    assert later.summary == found.summary


def test_others_jobs_and_jobs_that_never_were_look_the_same(
    jobs: dict[str, str], at: Callable[..., Any]
) -> None:
    foreign, never = jobs["runs"], "999999.0"
    assert at("bob", refused, foreign) == (404, f"The hub refused: You have no job {foreign}.")
    assert at("bob", refused, never) == (404, f"The hub refused: You have no job {never}.")


def test_a_job_behind_others_counts_them_and_shows_each_factor(
    jobs: dict[str, str], at: Callable[..., Any], image: str, tmp_path: Path
) -> None:
    until(lambda: at("mona", explained, jobs["first"]), JobState.RUNNING)
    run = f"explain-{os.getpid()}"
    behind = at("mona", submitted, {"second": AT_CEDAR, "third": AT_CEDAR}, image, tmp_path, run)
    found = until(
        lambda: at("mona", explained, behind["third"]),
        lambda seen: seen.state is JobState.WAITING and _of(seen, "cedar").room == 0,
    )
    cedar = _of(found, "cedar")
    assert (cedar.fits, cedar.ahead) == (True, 1)
    assert cedar.words == "Fits; the 1 pilot there are busy."
    assert {verdict.words for verdict in found.verdicts if verdict.centre != "cedar"} == {
        f"May run at cedar only. Nearest change: let it run at {name} too." for name in ("alder", "birch")
    }
    assert found.summary.startswith("It fits cedar, whose pilots are all busy. ")
    assert found.place is not None
    place = found.place
    assert place.score == pytest.approx(place.urgency * place.weight * place.balance)
    assert (place.centre, place.work_type, place.resource_class) == ("cedar", "analysis", "cpu")
    text = at("mona", printed, behind["third"])
    assert "Its place: " in text
    assert re.search(r"x weight 1 \(analysis\) x balance [0-9.]+ \(what cedar gave and used\)", text)


def test_what_changed_last_is_told(jobs: dict[str, str], at: Callable[..., Any]) -> None:
    found = at("alice", explained, jobs["memory"])
    kinds = {event.kind for event in found.changes}
    assert {EventKind.RULES, EventKind.OFFER} <= kinds
    assert [event.at for event in found.changes] == sorted(
        (event.at for event in found.changes), reverse=True
    )


@pytest.fixture
def urgent_only(bed: Testbed, at: Callable[..., Any]) -> Iterator[None]:
    """Birch's admin writes a condition into the policy, and takes it out again."""
    site = Site("birch", bed.layout())
    before = site.policy.read_text()

    def follow(policy: str, conditions: int) -> None:
        site.follow(policy)
        wait_until(lambda: at("alice", conditions_of, "birch") == conditions, "birch's new offer", 60, 1)

    follow(before + '\n[conditions]\nwork_types = ["urgent"]\n', 1)
    yield
    follow(before, 0)


def conditions_of(name: str) -> int:
    """How many conditions a centre's offer has; called at the desk."""
    return sum(len(offer.conditions) for offer in connect().offers() if offer.centre == name)


def test_a_condition_that_refuses_the_job_is_told_in_the_offers_own_sentence(
    urgent_only: None, jobs: dict[str, str], at: Callable[..., Any], image: str, tmp_path: Path
) -> None:
    wanted = {"refused": {"centre": "birch", "cores": 2, "work_type": "analysis"}}
    job = at("alice", submitted, wanted, image, tmp_path, f"explain-{os.getpid()}")["refused"]
    birch = _of(until(lambda: at("alice", explained, job), JobState.WAITING), "birch")
    assert not birch.fits
    assert [obstacle.reason for obstacle in birch.obstacles] == [
        "birch says: “Only jobs of the work types urgent.”"
    ]
    assert birch.obstacles[0].clause == '(TARGET.FallowWorkType =?= "urgent")'
    assert birch.obstacles[0].change == "submit it as work type urgent"


def test_a_held_job_says_why_and_what_to_do(jobs: dict[str, str], at: Callable[..., Any]) -> None:
    found = until(lambda: at("alice", explained, jobs["held"]), JobState.HELD)
    assert found.summary.startswith("It is held and does not go on by itself: ")
    assert found.summary.endswith("Submit it again with a longer walltime.")

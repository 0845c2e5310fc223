"""The answer in a sentence or two; pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from fallow.explanations import Place, Run, Verdict
from fallow.queue.records import JobRecord, JobState
from fallow.web import for_people
from fallow_matcher.classads import number_of
from fallow_matcher.explain import demand as words
from fallow_matcher.explain.demand import Demand
from fallow_matcher.explain.situation import Situation
from fallow_matcher.explain.verdict import advice

_ADVICE = {
    102: "Submit it again with more memory.",
    104: "Submit it again with more scratch space.",
    105: "Submit it again with a longer walltime.",
}
"""What to do about a job that a pilot held, by HoldReasonSubCode."""


def of_waiting(situation: Situation, found: Sequence[Verdict], place: Place | None, demand: Demand) -> str:
    """Why the job waits."""
    if situation.image_there is False:
        return "The hub does not have the job's image, so no pilot can run it. Upload the image and submit it again."
    fitting = [each for each in found if each.fits]
    offering = [each for each in found if each.obstacles or each.fits]
    if not offering:
        return "No centre offers capacity now; the job waits until one does."
    if not fitting:
        nearest = offering[0]
        reason = nearest.obstacles[0].reason.rstrip(".")
        changes = advice(nearest.obstacles)
        hint = f" Nearest change: {changes}." if changes else ""
        return f"No offer can take the job as it is: {reason}.{hint}"
    return _of_fitting(situation, fitting, place, demand)


def of_state(situation: Situation, record: JobRecord, run: Run | None) -> str:
    """What is to be said of a job that does not wait."""
    reason = for_people(record.reason).rstrip(".")
    if record.state is JobState.STAGING:
        return "Its input files are still being sent to the hub; it waits for a slot when they are there."
    if record.state is JobState.HELD:
        code = int(number_of(situation.job, "HoldReasonSubCode") or 0)
        what = _ADVICE[105] if record.over_walltime else _ADVICE.get(code, "")
        return f"It is held and does not go on by itself: {reason or 'no reason was given'}. {what}".strip()
    if record.state is JobState.REMOVED:
        return f"It was removed: {reason or 'no reason was given'}."
    where = f" at {run.centre}" if run else ""
    if record.state is JobState.RUNNING:
        since = words.time(max(0.0, situation.now - run.started.timestamp())) if run else "now"
        if situation.job.get("TransferringInput") is True:
            return f"It was given a slot{where} {since} ago; its input files are on the way."
        return f"It runs{where} since {since}."
    took = words.time(record.ran_s) if record.ran_s is not None else "an unknown time"
    end = (
        f"signal {record.exit_signal}" if record.exit_signal is not None else f"exit code {record.exit_code}"
    )
    moment = (
        f" on {datetime.fromtimestamp(record.finished, UTC):%Y-%m-%d %H:%M:%S} UTC" if record.finished else ""
    )
    return f"It ran{where} for {took} and ended with {end}{moment}."


def _of_fitting(situation: Situation, fitting: Sequence[Verdict], place: Place | None, demand: Demand) -> str:
    names = _list([each.centre for each in fitting])
    queue = f" {place.ahead} of the {place.waiting} waiting jobs come before it." if place is not None else ""
    if free := [each for each in fitting if each.room]:
        where = free[0]
        first = f" after {where.ahead} that come before it there" if where.ahead else ""
        return (
            f"It fits {names}, and {where.centre} has room for it now: it should start within seconds{first}."
        )
    if not any(each.pilots for each in fitting):
        return (
            f"It fits {names}, but no pilot of theirs is in the pool: a launcher starts one as soon as its batch system "
            f"has room.{queue}"
        )
    lives = [
        (number_of(slot, "FallowUntil") or 0) - situation.now
        for slot in situation.slots
        if slot.get("FallowCentre") in {each.centre for each in fitting}
    ]
    if demand.walltime_s is not None and max(lives) < demand.walltime_s:
        return (
            f"It fits {names}, but asks for {words.time(demand.walltime_s)}, and no pilot there lives that long any more; "
            f"a new pilot would take it.{queue}"
        )
    return f"It fits {names}, whose pilots are all busy.{queue}"


def _list(names: Sequence[str]) -> str:
    few = list(names[:5])
    if len(names) > len(few):
        few.append(f"{len(names) - len(few)} more")
    return " and ".join([", ".join(few[:-1]), few[-1]] if len(few) > 1 else few)

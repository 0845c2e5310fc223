"""A situation in, the explanation out; pure."""

from __future__ import annotations

from datetime import UTC, datetime

from fallow.explanations import Explanation, Place, Verdict
from fallow.offers import Shape
from fallow.queue.records import JobState, record
from fallow.rules import CPU
from fallow.web import for_people
from fallow_matcher.explain.changes import changes
from fallow_matcher.explain.fit import Job
from fallow_matcher.explain.order import Order, waiter
from fallow_matcher.explain.run import run_of
from fallow_matcher.explain.situation import Situation
from fallow_matcher.explain.summary import of_state, of_waiting
from fallow_matcher.explain.verdict import Held, verdicts


def explain(situation: Situation) -> Explanation:
    """Why the job waits, or why it runs or ran where and when it does."""
    about, job = record(situation.job), Job.of(situation.job)
    held: list[Held] = []
    found: list[Verdict] = []
    place: Place | None = None
    run = None
    if about.state in (JobState.WAITING, JobState.RUNNING):
        held = verdicts(situation, job)
        found = [each.verdict for each in held]
    if about.state is JobState.WAITING:
        shapes = {each.verdict.centre: list(each.shapes) for each in held if each.shapes}
        found, place = _ordered(situation, job, found, shapes)
        summary = of_waiting(situation, found, place, job.demand)
    else:
        run = run_of(situation, about)
        summary = of_state(situation, about, run)
    return Explanation(
        job=about.id,
        name=for_people(about.name),
        state=about.state,
        at=datetime.fromtimestamp(situation.now, UTC),
        summary=summary,
        requests=job.demand.words(),
        verdicts=found,
        place=place,
        run=run,
        changes=changes(situation),
    )


def _ordered(
    situation: Situation, job: Job, found: list[Verdict], shapes: dict[str, list[Shape]]
) -> tuple[list[Verdict], Place]:
    """The verdicts with the jobs that go first at each centre, and the job's place among all."""
    mine, rules = waiter(situation.job), situation.rules.rules
    models = [shape.gpu_model for given in shapes.values() for shape in given if shape.gpus]
    offered = [shape.gpu_model for offer in situation.offers for shape in offer.shapes if shape.gpus]
    model = next(iter([*models, *offered]), "") or "unknown"
    resource_class = rules.resource_class(model) if job.demand.gpus else CPU
    order = Order(situation.waiters, resource_class, situation.standings, rules, situation.now)
    ahead = order.ahead(mine, shapes)
    counted = [
        each.model_copy(update={"ahead": ahead.get(each.centre)}) if each.fits else each for each in found
    ]
    return counted, order.place(mine, ahead[""], situation.decision)

"""The routes of explanations: why a user's own job waits, or ran where and when it did; whether one would find a slot."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Path

from fallow.errors import RefusedError
from fallow.explanations import Explanation
from fallow.fits import FitAnswers, FitQuestion
from fallow.reports import JobId
from fallow_matcher.explain.hypothetical import Person
from fallow_matcher.explain.material import Sources, situation_now, situation_of
from fallow_matcher.gateway.access import Access, User, UserWho
from fallow_matcher.gateway.errors import REFUSALS, GatewayError
from fallow_matcher.gateway.exchange import work_types_of
from fallow_matcher.gateway.hub import Hub
from fallow_matcher.gateway.services import Services
from fallow_matcher.identities import user_identity

router = APIRouter(responses=REFUSALS)

_READER = Access(UserWho("query"))


@router.get("/v1/jobs/{job}/explain")
def get_explanation(
    hub: Hub, job: Annotated[JobId, Path()], caller: Annotated[User, Depends(_READER)]
) -> Explanation:
    """Why the job waits, or why it runs or ran where and when it does; others' jobs are as if they were not there."""
    cluster, process = (int(part) for part in job.split("."))
    user = user_identity(caller.centre, caller.name, hub.settings.trust_domain)
    situation = situation_of(_sources(hub), cluster, process, user)
    if situation is None:
        raise GatewayError(404, "not_found", f"You have no job {job}.")
    try:
        return hub.fence.explain(situation)
    except RefusedError as error:
        raise GatewayError(422, "invalid_request", error.what) from error


@router.post("/v1/fit")
def post_fit(
    hub: Hub, asked: Annotated[FitQuestion, Body()], caller: Annotated[User, Depends(_READER)]
) -> FitAnswers:
    """Whether jobs that the caller has not submitted yet would find a slot, and if not, why."""
    name = f"{caller.centre}.{caller.name}"
    restricted = hub.settings.restricted_work_types
    person = Person(
        name=name,
        centre=caller.centre,
        projects=[
            project.name
            for project in hub.settings.projects
            if {name, f"{caller.centre}.*"} & set(project.members)
        ],
        forbidden=set(restricted) - set(work_types_of(caller, restricted)),
    )
    try:
        return hub.fence.fit(situation_now(_sources(hub)), asked.requests, person)
    except RefusedError as error:
        raise GatewayError(422, "invalid_request", error.what) from error


def _sources(hub: Services) -> Sources:
    return Sources(hub.settings, hub.pool, hub.offers, hub.database, hub.store)

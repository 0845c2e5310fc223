"""The route of explanations: why a user's own job waits, or why it ran where and when it did."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Path

from fallow.errors import RefusedError
from fallow.explanations import Explanation
from fallow.reports import JobId
from fallow_matcher.explain.material import Sources, situation_of
from fallow_matcher.gateway.access import Access, User, UserWho
from fallow_matcher.gateway.errors import GatewayError
from fallow_matcher.gateway.hub import Hub
from fallow_matcher.identities import user_identity

_READER = Access(UserWho("query"))


def get_explanation(
    hub: Hub, job: Annotated[JobId, Path()], caller: Annotated[User, Depends(_READER)]
) -> Explanation:
    """Why the job waits, or why it runs or ran where and when it does; others' jobs are as if they were not there."""
    cluster, process = (int(part) for part in job.split("."))
    user = user_identity(caller.centre, caller.name, hub.settings.trust_domain)
    sources = Sources(hub.settings, hub.pool, hub.offers, hub.database, hub.store)
    situation = situation_of(sources, cluster, process, user)
    if situation is None:
        raise GatewayError(404, "not_found", f"You have no job {job}.")
    try:
        return hub.fence.explain(situation)
    except RefusedError as error:
        raise GatewayError(422, "invalid_request", error.what) from error


def install(app: FastAPI) -> None:
    """Add the route; its dependency says who may call it."""
    app.get("/v1/jobs/{job}/explain")(get_explanation)

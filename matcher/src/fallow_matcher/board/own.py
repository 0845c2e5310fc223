"""The routes of one's own work: they call the functions of the API's routes, held against the same policies."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy.exc import SQLAlchemyError

from fallow.campaigns.document import CampaignName, StageName
from fallow.campaigns.messages import CampaignState, RowState, Selection
from fallow.capacity_requests import RequestBody, Wanted, Why
from fallow.errors import NotAvailableError
from fallow.queue.ids import place_of
from fallow.queue.records import JobRecord
from fallow.reports import JobId
from fallow_matcher.board import health, live, output, pilots, render
from fallow_matcher.board.access import Acts, HubsOperator, Reads
from fallow_matcher.board.route import PRIVATE, ElsewhereError, PageRoute
from fallow_matcher.board.sessions import hash_of
from fallow_matcher.gateway import campaigns, capacity, explain
from fallow_matcher.gateway.access import CentresAdmin, User, UserWho
from fallow_matcher.gateway.errors import GatewayError
from fallow_matcher.gateway.hub import Hub
from fallow_matcher.gateway.services import Services
from fallow_matcher.ledger.reconcile import reconcile

ROWS = 100
"""Rows of a campaign on one page."""
LOOK_BACK_S = 7 * 86_400
"""How far back admins and operators look."""

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Reader = Annotated[User, Depends(Reads(UserWho("query")))]
Submitter = Annotated[User, Depends(Acts(UserWho("submit")))]
Editor = Annotated[User, Depends(Acts(UserWho("edit")))]
Canceller = Annotated[User, Depends(Acts(UserWho("cancel")))]
Admin = Annotated[User, Depends(Reads(CentresAdmin()))]
Operator = Annotated[User, Depends(Reads(HubsOperator()))]
Name = Annotated[CampaignName, Path()]
Job = Annotated[JobId, Path()]


@router.get("/me")
def me(hub: Hub, request: Request, caller: Reader) -> Response:
    """One's jobs and campaigns."""
    return _page(hub, request, caller, "me.html", **_work(hub, caller))


@router.get("/me/live")
async def stream(hub: Hub, request: Request, caller: Reader) -> Response:
    """Says when one's jobs or campaigns have changed."""
    return _live(hub, request, lambda: _work(hub, caller))


@router.get("/me/jobs/{job}")
def job(hub: Hub, request: Request, job: Job, caller: Reader) -> Response:
    """Why a job waits, or ran where and when it did, and what it wrote."""
    _require_here(hub, job)
    told = explain.get_explanation(hub, job, caller)
    known = hub.own_jobs.one(caller, job) or hub.own_jobs.past(caller, job)
    return _page(hub, request, caller, "job.html", told=told, wrote=known and _wrote(hub, caller, known))


@router.get("/me/jobs/{job}/live")
async def job_stream(hub: Hub, request: Request, job: Job, caller: Reader) -> Response:
    """Says when a job in the queue has changed, or has told more of what it writes."""
    _require_here(hub, job)

    def shown() -> object:
        known = hub.own_jobs.one(caller, job)
        return known and (known, _wrote(hub, caller, known))

    return _live(hub, request, shown)


@router.post("/me/jobs/{job}/cancel")
def cancel_job(hub: Hub, job: Job, caller: Canceller) -> Response:
    """Take a job back."""
    _require_here(hub, job)
    hub.own_jobs.remove(caller, job)
    hub.audit.write("job_removed", iss=caller.iss, sub=caller.sub, jti=caller.jti, job=job)
    return _to("/me")


@router.get("/me/campaigns/{name}")
def campaign(
    hub: Hub,
    request: Request,
    name: Name,
    caller: Reader,
    state: RowState | None = None,
    signature: Annotated[str | None, Query(max_length=300)] = None,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
) -> Response:
    """A campaign: progress, failures, rows."""
    status = campaigns.get_status(hub, name, caller)
    page = campaigns.get_rows(hub, name, caller, state=state, signature=signature, after=after, limit=ROWS)
    return _page(
        hub,
        request,
        caller,
        "campaign.html",
        status=status,
        rows=page.rows,
        more=page.more,
        state=state,
        signature=signature,
        ended=status.campaign.state in (CampaignState.CANCELLED, CampaignState.FINISHED),
    )


@router.get("/me/campaigns/{name}/log")
def log(
    hub: Hub,
    request: Request,
    name: Name,
    caller: Reader,
    id: Annotated[str, Query(max_length=200)],  # noqa: A002 - as people call it
    stage: StageName | None = None,
    attempt: Annotated[int | None, Query(ge=1, le=10**9)] = None,
) -> Response:
    """What an attempt of a row wrote; the last one that left something where none is named."""
    told = campaigns.get_log(hub, name, caller, id, stage, attempt)
    return _page(hub, request, caller, "log.html", name=name, told=told)


@router.post("/me/campaigns/{name}/pause")
def pause(hub: Hub, name: Name, caller: Editor) -> Response:
    """Start nothing more."""
    campaigns.post_pause(hub, name, caller)
    return _to(f"/me/campaigns/{name}")


@router.post("/me/campaigns/{name}/resume")
def resume(hub: Hub, name: Name, caller: Editor) -> Response:
    """Go on."""
    campaigns.post_resume(hub, name, caller)
    return _to(f"/me/campaigns/{name}")


@router.post("/me/campaigns/{name}/cancel")
def cancel(hub: Hub, name: Name, caller: Canceller) -> Response:
    """End the campaign."""
    campaigns.post_cancel(hub, name, caller)
    return _to(f"/me/campaigns/{name}")


@router.post("/me/campaigns/{name}/retry")
def retry(
    hub: Hub,
    name: Name,
    caller: Submitter,
    stage: Annotated[StageName | None, Form()] = None,
    signature: Annotated[str | None, Form(max_length=300)] = None,
) -> Response:
    """Run failed rows again, those of one kind or all."""
    campaigns.post_retry(hub, name, Selection(stage=stage, signature=signature), caller)
    return _to(f"/me/campaigns/{name}")


@router.get("/me/centre")
def centre(hub: Hub, request: Request, caller: Admin) -> Response:
    """The pilots of the admin's own centre."""
    return _page(hub, request, caller, "centre.html", **_centre(hub, caller))


@router.get("/me/centre/live")
async def centre_stream(hub: Hub, request: Request, caller: Admin) -> Response:
    """Says when the pilots of the admin's own centre, or what is asked of it, have changed."""
    return _live(hub, request, lambda: _centre(hub, caller))


@router.post("/me/centre/request")
def ask(
    hub: Hub,
    caller: Annotated[User, Depends(Acts(CentresAdmin()))],
    wanted: Annotated[Wanted, Form()],
    why: Annotated[Why, Form()] = "",
) -> Response:
    """Ask the own centre; only somebody there can do what is asked for."""
    capacity.put_request(hub, caller.centre, RequestBody(wanted=wanted, why=why), caller)
    return _to("/me/centre")


@router.get("/me/hub")
def operated(hub: Hub, request: Request, caller: Operator) -> Response:
    """How the parts of the hub are."""
    return _page(hub, request, caller, "hub.html", **_parts(hub))


@router.get("/me/hub/live")
async def hub_stream(hub: Hub, request: Request, caller: Operator) -> Response:  # noqa: ARG001
    """Says when anything about the parts of the hub has changed."""
    return _live(hub, request, lambda: _parts(hub))


def _require_here(hub: Services, job: str) -> None:
    """Lead to the other of two hubs where its queue has the job; this one knows nothing of it."""
    settings = hub.settings
    there = settings.hosts[place_of(job)] if settings.pair else settings.host
    if there != settings.host:
        raise ElsewhereError(
            f"Job {job} is in the queue of {there}.", f"{settings.page_url_of(there)}/me/jobs/{job}"
        )


def _work(hub: Services, caller: User) -> dict[str, Any]:
    """One's jobs and campaigns; the campaigns also while the queue is away."""
    try:
        jobs, away = hub.own_jobs.of(caller), ""
    except NotAvailableError as error:
        jobs, away = [], error.what
    return {"jobs": jobs, "away": away, "campaigns": campaigns.get_campaigns(hub, caller).campaigns}


def _wrote(hub: Services, caller: User, known: JobRecord) -> output.Told:
    return output.output(hub.store, hub.settings, f"{caller.centre}.{caller.name}", known)


def _centre(hub: Services, caller: User) -> dict[str, Any]:
    """What an admin sees of the own centre."""
    standing = hub.offers.standing(datetime.now(UTC))
    return {
        "told": pilots.latest(hub.database, caller.centre, time.time() - LOOK_BACK_S),
        "reclaims": next((offer.reclaims for offer in standing if offer.centre == caller.centre), None),
        "asked": capacity.get_requests(hub, caller.centre, caller).requests,
    }


def _parts(hub: Services) -> dict[str, Any]:
    """What an operator sees of the hub."""
    now = time.time()
    agreements, _ = reconcile(hub.database, now - LOOK_BACK_S, now, now)
    ends = health.tokens(hub.settings, now)
    ends += health.launchers(hub.launchers, hub.settings.centre_names, now)
    return {"parts": health.parts(hub, now), "agreements": agreements, "tokens": ends}


def _live(hub: Services, request: Request, shown: Callable[[], object]) -> Response:
    return live.streaming(hub.streams, live.changes(hub.keeper, lambda: _state(hub, request, shown)))


def _state(hub: Services, request: Request, shown: Callable[[], object]) -> str | None:
    """Stands for what a page shows, empty where that cannot be told; None when the session has ended."""
    try:
        return hash_of(f"{shown()}") if hub.sessions.find(request) else None
    except (NotAvailableError, SQLAlchemyError):
        return ""


def _page(hub: Services, request: Request, caller: User, template: str, **values: Any) -> Response:
    session = hub.sessions.find(request)
    if session is None:
        raise GatewayError(401, "invalid_token", "Your session has just ended.")
    html = render.page(
        template, session=session, admin=caller.speaks_for_centre, operator=caller.operates_hub, **values
    )
    return HTMLResponse(html, headers=PRIVATE)


def _to(path: str) -> Response:
    """Show the page again, so that loading it once more does nothing once more."""
    return RedirectResponse(path, 303, PRIVATE)

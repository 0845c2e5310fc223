"""The routes of the rules: what is in force, what is proposed, who approved, and the history that proves it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from fallow.errors import SettingsError
from fallow.rules import parse_rules
from fallow.rules.entry import Voice
from fallow.rules.messages import ApprovalBody, DocumentBody, HistoryPage, RulesReport, Simulation, report
from fallow_matcher import rules
from fallow_matcher.gateway.access import Access, CentresAdmin, Member, User, UserWho
from fallow_matcher.gateway.errors import REFUSALS, GatewayError
from fallow_matcher.gateway.hub import Hub
from fallow_matcher.simulation.apart import compare, simulating
from fallow_matcher.simulation.recorded import described, recorded

router = APIRouter(responses=REFUSALS)

_MEMBER = Depends(Access(Member()))
_ADMIN = Access(CentresAdmin())
_USER = Access(UserWho("query"))
_STATUS = {
    "invalid_request": 422,
    "forbidden": 403,
    "not_found": 404,
    "too_many_proposals": 409,
    "in_force": 409,
}

logger = logging.getLogger(__name__)

PAGE_ENTRIES = 200
PAGE_CHARACTERS = 1024 * 1024
"""A page of the history ends with the entry that reaches this."""


Admin = Annotated[User, Depends(_ADMIN)]


@router.get("/v1/rules", dependencies=[_MEMBER])
def get_rules(hub: Hub) -> RulesReport:
    """The rules in force, and the proposals that centres can approve."""
    return report(rules.current(hub.database), hub.settings.centre_names, datetime.now(UTC))


@router.get("/v1/rules/history", dependencies=[_MEMBER])
def get_history(hub: Hub, after: Annotated[int, Query(ge=0, le=10**9)] = 0) -> HistoryPage:
    """The history of the rules, from the entry that follows number `after`."""
    found = rules.history(hub.database, after=after, limit=PAGE_ENTRIES + 1)
    page, size = [], 0
    for line in found[:PAGE_ENTRIES]:
        page.append(line)
        size += len(line.body)
        if size >= PAGE_CHARACTERS:
            break
    return HistoryPage(entries=page, more=len(found) > len(page))


@router.post("/v1/rules/proposals")
def post_proposal(hub: Hub, wanted: DocumentBody, caller: Admin) -> RulesReport:
    """Propose rules in the name of the caller's centre; they do not count as approved by it."""
    now = datetime.now(UTC)
    centres = hub.settings.centre_names
    try:
        state = rules.propose(hub.database, wanted.document, _voice(caller), centres, now)
    except SettingsError as error:
        raise GatewayError(422, "invalid_request", error.what) from error
    except rules.VoteError as error:
        raise GatewayError(_STATUS[error.code], error.code, str(error)) from error
    hub.audit.write("rules_proposed", **_voice(caller).model_dump())
    return report(state, centres, now)


@router.post("/v1/rules/approvals")
def post_approval(hub: Hub, wanted: ApprovalBody, caller: Admin) -> RulesReport:
    """Approve proposed rules, by their exact digest, in the name of the caller's centre."""
    now = datetime.now(UTC)
    centres = hub.settings.centre_names
    try:
        state = rules.approve(hub.database, wanted.digest, _voice(caller), centres, now)
    except rules.VoteError as error:
        raise GatewayError(_STATUS[error.code], error.code, str(error)) from error
    hub.audit.write(
        "rules_approved", **_voice(caller).model_dump(), digest=wanted.digest, version=state.version
    )
    return report(state, centres, now)


@router.post("/v1/rules/simulation")
def post_simulation(hub: Hub, wanted: DocumentBody, caller: Annotated[User, Depends(_USER)]) -> Simulation:
    """What proposed rules would have done to the work that the ledger has recorded, beside those in force."""
    try:
        parse_rules(wanted.document, source="the proposal")
    except SettingsError as error:
        raise GatewayError(422, "invalid_request", error.what) from error
    if not simulating.acquire(blocking=False):
        raise GatewayError(429, "too_many_requests", "Another simulation runs.", retry_after_s=10)
    try:
        state = rules.current(hub.database)
        workload = recorded(hub.database)
        if not workload.jobs:
            raise GatewayError(404, "not_found", "The ledger has recorded no job that ran to its end.")
        current, proposed = compare(workload, state.document, wanted.document)
    finally:
        simulating.release()
    hub.audit.write(
        "rules_simulated", iss=caller.iss, sub=caller.sub, jti=caller.jti, jobs=len(workload.jobs)
    )
    return Simulation(load=described(workload), version=state.version, current=current, proposed=proposed)


def _voice(caller: User) -> Voice:
    return Voice(centre=caller.centre, iss=caller.iss, sub=caller.sub, jti=caller.jti)

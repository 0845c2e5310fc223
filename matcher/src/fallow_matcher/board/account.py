"""The routes by which people log in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from fallow.errors import FallowError, NotAvailableError, RefusedError
from fallow.web import for_people
from fallow_matcher.board import render
from fallow_matcher.board.access import Acts
from fallow_matcher.board.route import PRIVATE, PageRoute, refused
from fallow_matcher.board.sessions import set_cookie
from fallow_matcher.board.signin import BACK, LIFE_S
from fallow_matcher.gateway.access import Access, Anybody, Caller, Member, User
from fallow_matcher.gateway.hub import Hub

COOKIE = "__Host-fallow-login"

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_ANYBODY = [Depends(Access(Anybody()))]

Text = Annotated[str, Query(max_length=4_000)]


@router.get("/login", dependencies=_ANYBODY)
def login(hub: Hub, request: Request, issuer: Text = "") -> Response:
    """Send the browser to the issuer; where there are several, ask to which."""
    hub.limits.count_login(_address(request))
    usable = [one for one in hub.sign_in.issuers if issuer in ("", one.url)]
    if not usable:
        return refused(404, "Nobody can log in here: the hub names no client at such an issuer.")
    if len(usable) > 1:
        return Response(render.page("issuers.html", issuers=usable), media_type="text/html", headers=PRIVATE)
    url, secret = hub.sign_in.begin(usable[0])
    answer = RedirectResponse(url, 303, PRIVATE)
    set_cookie(answer, COOKIE, secret, LIFE_S)
    return answer


@router.get(BACK, dependencies=_ANYBODY)
def back(
    hub: Hub,
    request: Request,
    code: Text = "",
    state: Text = "",
    error: Text = "",
    iss: Annotated[str | None, Query(max_length=2_000)] = None,
) -> Response:
    """Take the browser back: a new session under a new id."""
    hub.limits.count_login(_address(request))
    answer: Response
    try:
        if error:
            raise RefusedError(f"The issuer refused the login: {for_people(error, 80)}.")
        token = hub.sign_in.end(request.cookies.get(COOKIE, ""), code=code, state=state, said_issuer=iss)
        caller = hub.callers.member(token)
        if isinstance(caller, User):
            answer = RedirectResponse("/me", 303, PRIVATE)
            hub.sessions.begin(request, answer, token, f"{caller.centre}.{caller.name}", caller.claims.exp)
            hub.audit.write("login", iss=caller.iss, sub=caller.sub, jti=caller.jti, centre=caller.centre)
        else:
            answer = refused(403, "The page is for people; a launcher has nothing to do here.")
    except NotAvailableError as failure:
        answer = refused(503, failure.what)
    except FallowError as failure:
        answer = refused(403, str(failure))
    set_cookie(answer, COOKIE, "", 0)
    return answer


@router.post("/logout")
def logout(hub: Hub, request: Request, caller: Annotated[Caller, Depends(Acts(Member()))]) -> Response:  # noqa: ARG001
    """End the session; the token that it held ends by itself."""
    answer = RedirectResponse("/", 303, PRIVATE)
    hub.sessions.end(request, answer)
    return answer


def _address(request: Request) -> str:
    return request.client.host if request.client else "-"

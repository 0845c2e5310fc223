"""The routes that need no login: the federation's page, its stream, and the files that it needs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response

from fallow.errors import NotAvailableError
from fallow_matcher.board import live, render
from fallow_matcher.board.keeper import Board, View
from fallow_matcher.board.route import PRIVATE, PageRoute
from fallow_matcher.gateway.access import Access, Anybody
from fallow_matcher.gateway.errors import GatewayError
from fallow_matcher.gateway.hub import Hub
from fallow_matcher.gateway.services import Services

router = APIRouter(route_class=PageRoute, dependencies=[Depends(Access(Anybody()))], include_in_schema=False)


@router.get("/")
def page(hub: Hub, request: Request, accept_encoding: Annotated[str, Header()] = "") -> Response:
    """The federation's page."""
    view = _view(hub, request, hub.keeper.now)
    headers = {**PRIVATE, "Vary": "Accept-Encoding, Cookie"}
    if "gzip" in accept_encoding:
        return Response(view.packed, media_type="text/html", headers={**headers, "Content-Encoding": "gzip"})
    return Response(view.page, media_type="text/html", headers=headers)


@router.get("/live")
async def stream(hub: Hub, request: Request) -> Response:
    """The page's changes as they come."""
    return live.streaming(hub.streams, live.events(hub.keeper, lambda board: _view(hub, request, board)))


@router.get("/board/{stamp}/{name}")
def asset(stamp: str, name: str) -> Response:
    """A file that the page needs; a browser may keep it for good, as another content has another address."""
    if render.stamps().get(name) != f"/board/{stamp}/{name}":
        raise GatewayError(404, "not_found", "There is no such file.")
    return Response(
        render.asset(name),
        media_type=render.ASSETS[name],
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )


def _view(hub: Services, request: Request, board: Board) -> View:
    """Members read all of it, others what the rules publish; who is a member cannot be told while the database is away."""
    try:
        return board.members if hub.sessions.find(request) else board.public
    except NotAvailableError:
        return board.public

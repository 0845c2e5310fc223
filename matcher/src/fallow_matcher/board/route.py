"""How every route of the page answers: with headers that let nothing in, and refusals that people can read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute

from fallow.errors import NotAvailableError
from fallow.tokens import TokenError
from fallow_matcher.board import render
from fallow_matcher.gateway.errors import GatewayError

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PRIVATE = {"Cache-Control": "no-store"}

_TITLES = {401: "Log in first", 403: "Not for you", 404: "Not there", 429: "Too many requests"}


class ElsewhereError(GatewayError):
    """What is asked for is on a page of the other of two hubs.

    Args:
        what: Where it is, in one sentence.
        url: The address of that page.
    """

    def __init__(self, what: str, url: str) -> None:
        super().__init__(404, "not_found", what)
        self.url = url


class PageRoute(APIRoute):
    """A route whose answers and refusals are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, wrapped."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                answer = await inner(request)
            except TokenError as error:
                answer = refused(error.status, str(error))
            except ElsewhereError as error:
                answer = refused(error.status, error.what, error.url)
            except GatewayError as error:
                answer = refused(error.status, error.what)
            except RequestValidationError:
                answer = refused(422, "The request is not of the form that this page has.")
            except NotAvailableError as error:
                answer = refused(503, error.what)
            for name, value in HEADERS.items():
                answer.headers.setdefault(name, value)
            return answer

        return handle


def refused(status: int, what: str, elsewhere: str = "") -> Response:
    """A page that says why not, and leads `elsewhere` where an address is given."""
    title = _TITLES.get(status, "That did not work")
    html = render.page("refused.html", title=title, what=what, login=status == 401, elsewhere=elsewhere)
    return HTMLResponse(html, status, PRIVATE)

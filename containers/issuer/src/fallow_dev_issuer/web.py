"""Forms in, pages out: what the flows that people see have in common."""

import hmac
import html
from urllib.parse import parse_qsl

from starlette.requests import Request

from fallow_dev_issuer import BANNER
from fallow_dev_issuer.errors import OAuthError
from fallow_dev_issuer.people import People

MAX_BODY_BYTES = 64 * 1024


def known_user(people: People, form: dict[str, str]) -> str | None:
    """The user whose name and password a form has; None where they do not go together."""
    name = form.get("user", "")
    expected = people.users[name].password if name in people.users else ""
    good = expected and hmac.compare_digest(expected.encode(), form.get("password", "").encode())
    return name if good else None


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form body: bounded, UTF-8, no field twice."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise OAuthError(
                "invalid_request", f"The body is larger than {MAX_BODY_BYTES} bytes.", status=413
            )
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError as error:
        raise OAuthError("invalid_request", "The body is not a form in UTF-8.") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise OAuthError("invalid_request", "A field is there twice.")
    return form


def page(content: str) -> str:
    """A whole page around HTML."""
    warning = f"<p><strong>{html.escape(BANNER)}</strong></p>"
    return f"<!doctype html><html lang=en><title>Development issuer</title>{warning}{content}</html>"

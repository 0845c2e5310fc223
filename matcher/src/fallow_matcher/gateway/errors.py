"""Refusals as the gateway answers them: `{error, error_description}` and an HTTP status, at this edge only."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from fallow.errors import FallowError, NotAvailableError
from fallow.messages import Refusal
from fallow.rules.history import HistoryError
from fallow.tokens import TokenError

logger = logging.getLogger(__name__)

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal} for status in (400, 401, 403, 404, 405, 409, 413, 422, 429, 503, 507)
}
"""How any route may refuse, for its description."""
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 429: "too_many_requests"}


class GatewayError(FallowError):
    """A request is refused for a reason other than its token.

    Args:
        status: The HTTP status.
        code: The `error` of the answer.
        what: The `error_description`: one sentence.
        retry_after_s: Seconds after which to try again, for the header of that name.
    """

    def __init__(self, status: int, code: str, what: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(what, retryable=retry_after_s is not None)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


def answer(status: int, code: str, what: str, retry_after_s: int | None = None) -> JSONResponse:
    """The answer to a refused request."""
    headers = {"Cache-Control": "no-store"}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if status == 401:
        headers["WWW-Authenticate"] = f'Bearer error="{code}"'
    return JSONResponse(
        Refusal(error=code, error_description=what).model_dump(), status_code=status, headers=headers
    )


def install(app: FastAPI) -> None:
    """Translate every exception that a route may raise."""

    @app.exception_handler(TokenError)
    async def _token(_: Request, error: TokenError) -> JSONResponse:
        logger.info("refused: %s iss=%s jti=%s", error.code, error.iss or "-", error.jti or "-")
        return answer(error.status, error.code, str(error))

    @app.exception_handler(GatewayError)
    async def _refused(_: Request, error: GatewayError) -> JSONResponse:
        return answer(error.status, error.code, error.what, error.retry_after_s)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        fields = sorted({".".join(str(part) for part in item["loc"]) for item in error.errors()})
        messages = "; ".join(sorted({str(item["msg"]) for item in error.errors()}))
        return answer(422, "invalid_request", f"{', '.join(fields)}: {messages}."[:1000])

    @app.exception_handler(NotAvailableError)
    async def _away(_: Request, error: NotAvailableError) -> JSONResponse:
        logger.warning("not available: %s", error.what)
        return answer(503, "temporarily_unavailable", error.what, 10)

    @app.exception_handler(HistoryError)
    async def _tampered(_: Request, error: HistoryError) -> JSONResponse:
        # Unlike other faults of the hub, this one is everybody's to know.
        logger.error("%s", error)
        return answer(500, "history_broken", str(error))

    @app.exception_handler(SQLAlchemyError)
    async def _database(_: Request, error: SQLAlchemyError) -> JSONResponse:
        # Locked for too long, full, or gone: what was asked has not been done, in no part.
        logger.error("the database failed: %s", error)
        return answer(503, "temporarily_unavailable", "The hub's database cannot be used now.", 30)

    @app.exception_handler(FallowError)
    async def _broken(_: Request, error: FallowError) -> JSONResponse:
        # What is wrong with the hub's own files is the operator's to know.
        logger.error("the hub is not in order: %s", error)
        return answer(
            503, "temporarily_unavailable", "The hub is not in order; its operator has to look.", 60
        )

    @app.exception_handler(Exception)
    async def _unforeseen(_: Request, __: Exception) -> JSONResponse:
        return answer(500, "server_error", "The hub made a mistake; its log has the request id.")

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        refused = answer(
            error.status_code, _CODES.get(error.status_code, "invalid_request"), str(error.detail)
        )
        refused.headers.update(error.headers or {})
        return refused

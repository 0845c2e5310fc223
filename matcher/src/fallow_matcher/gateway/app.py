"""The gateway as an ASGI application."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response

from fallow import __version__
from fallow.errors import FallowError
from fallow_matcher.board import account, own, public
from fallow_matcher.gateway import (
    audit,
    campaigns,
    capacity,
    errors,
    explain,
    images,
    ledger,
    metrics,
    reports,
    routes,
    rules,
    staging,
)
from fallow_matcher.gateway.access import routes_without_policy
from fallow_matcher.gateway.errors import GatewayError
from fallow_matcher.gateway.limits import BodyLimit
from fallow_matcher.gateway.services import Services

logger = logging.getLogger(__name__)

ROUTERS = [
    module.router
    for module in (
        routes,
        rules,
        capacity,
        explain,
        reports,
        ledger,
        campaigns,
        images,
        staging,
        public,
        account,
        own,
    )
]


def create_app(services: Services) -> FastAPI:
    """Build the application.

    Raises:
        FallowError: A route has no authorisation policy.
    """
    app = FastAPI(
        title=f"Fallow hub: {services.settings.name}",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.services = services
    for router in ROUTERS:
        app.router.routes.extend(router.routes)  # one by one, so that the guard below sees each
    counted = metrics.install(app, services)
    errors.install(app)
    if missing := routes_without_policy(app):
        raise FallowError(
            f"No authorisation policy: {', '.join(missing)}.", remedy="Give the route an Access."
        )

    @app.middleware("http")
    async def _identify_and_count(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        begun = time.monotonic()
        identifier = secrets.token_hex(8)
        audit.request_id.set(identifier)
        response: Response
        try:
            services.limits.count_address(request.client.host if request.client else "-")
            response = await call_next(request)
        except GatewayError as error:
            response = errors.answer(error.status, error.code, error.what, error.retry_after_s)
        response.headers["X-Request-Id"] = identifier
        counted.count(request, response.status_code, time.monotonic() - begun)
        logger.info("%s %s %s -> %s", identifier, request.method, request.url.path, response.status_code)
        return response

    limits = services.settings.limits
    app.add_middleware(
        BodyLimit, body_bytes=limits.body_bytes, larger={campaigns.PATH: limits.campaign_bytes}
    )
    return app

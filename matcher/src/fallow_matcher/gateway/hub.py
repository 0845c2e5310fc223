"""What the routes are given: the gateway's services, as a dependency."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from fallow_matcher.gateway.services import Services


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Hub = Annotated[Services, Depends(_services)]

"""`/metrics` of the gateway for Prometheus: its own requests, and the federation as the page has it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from fastapi import Depends, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from fallow_matcher.board import health
from fallow_matcher.board.figures import Figures
from fallow_matcher.gateway.access import Access, Anybody
from fallow_matcher.gateway.errors import GatewayError
from fallow_matcher.gateway.hub import Hub
from fallow_matcher.gateway.services import Services

NOWHERE = "none"
"""The route of a request that no route has: what strangers ask for makes no new series."""


class Requests:
    """Counts the gateway's requests.

    Args:
        registry: Where the counts are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "fallow_gateway_requests", "Requests.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "fallow_gateway_request_seconds", "How long requests took.", ["route"], registry=registry
        )

    def count(self, request: Request, status: int, took_s: float) -> None:
        """Count one that was answered."""
        route = getattr(request.scope.get("route"), "path", NOWHERE)
        method = request.method if route != NOWHERE else NOWHERE
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(took_s)


class FederationCollector(Collector):
    """What the page says, as numbers.

    Args:
        services: The gateway's services.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: the names are those of `collect`, and registering must not need a database."""
        yield from ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The numbers of this moment."""
        services, now = self._services, time.time()
        figures = services.keeper.now.figures
        yield from _capacity(figures)
        yield from _work(figures)
        yield GaugeMetricFamily(
            "fallow_page_age_seconds", "Age of what the page shows.", value=now - figures.at.timestamp()
        )
        yield GaugeMetricFamily(
            "fallow_page_sessions", "People logged in at the page.", value=len(services.sessions)
        )
        tokens = GaugeMetricFamily(
            "fallow_token_expiry_timestamp_seconds",
            "When a token that the hub lives on ends.",
            labels=["token"],
        )
        for each in health.tokens(services.settings, now):
            tokens.add_metric([each.name], each.ends or 0)
        yield tokens


def _capacity(figures: Figures) -> Iterator[GaugeMetricFamily]:
    cores = GaugeMetricFamily(
        "fallow_centre_cores", "Cores, the mean of the last minute.", labels=["centre", "kind"]
    )
    pilots = GaugeMetricFamily("fallow_centre_pilots", "Pilots in the pool.", labels=["centre"])
    offers = GaugeMetricFamily("fallow_centre_offer", "1 while the centre's offer stands.", labels=["centre"])
    for centre in figures.centres:
        offers.add_metric([centre], float(centre in figures.offers))
        if (point := figures.latest.get(centre)) is not None:
            for kind in ("offered", "running", "used", "idle"):
                cores.add_metric([centre, kind], getattr(point.cores, kind))
            pilots.add_metric([centre], point.pilots_running)
    yield from (cores, pilots, offers)


def _work(figures: Figures) -> Iterator[GaugeMetricFamily]:
    labels = ["centre", "work_type", "resource_class"]
    jobs = GaugeMetricFamily("fallow_waiting_jobs", "Jobs that wait.", labels=labels)
    waits = GaugeMetricFamily(
        "fallow_longest_wait_seconds", "How long the oldest of them waits.", labels=labels
    )
    for place in figures.decision.places if figures.decision else ():
        names = [place.centre, place.work_type, place.resource_class]
        jobs.add_metric(names, place.jobs)
        waits.add_metric(names, place.wait_s)
    balances = GaugeMetricFamily(
        "fallow_balance_core_seconds",
        "What a centre gave minus what it used.",
        labels=["centre", "resource_class"],
    )
    for (centre, resource_class), standing in figures.standings.items():
        balances.add_metric([centre, resource_class], standing.balance)
    decided = figures.decision.at if figures.decision else 0
    yield from (jobs, waits, balances)
    yield GaugeMetricFamily(
        "fallow_matcher_decision_timestamp_seconds", "When the matcher decided last.", value=decided
    )


def get_metrics(hub: Hub, request: Request) -> Response:
    """The numbers, for the addresses that the settings name."""
    if request.client is None or request.client.host not in hub.settings.metrics_readers:
        raise GatewayError(
            403, "forbidden", "The metrics are for the addresses that the hub's settings name."
        )
    registry: CollectorRegistry = request.app.state.metrics
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def install(app: FastAPI, services: Services) -> Requests:
    """Add the route; gives what counts requests."""
    registry = CollectorRegistry()
    registry.register(FederationCollector(services))
    app.state.metrics = registry
    app.get("/metrics", dependencies=[Depends(Access(Anybody()))], include_in_schema=False)(get_metrics)
    return Requests(registry)

"""What Prometheus is told, by whom it may be read, and that alerts and dashboard ask for nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry, generate_latest
from tests import monitoring
from tests.matcher.board.conftest import busy
from tests.matcher.conftest import GATEWAY

from fallow.errors import NotAvailableError
from fallow_matcher.gateway.app import create_app
from fallow_matcher.gateway.services import Services
from fallow_matcher.matching.metrics import MeasuredMatcher

MONITORING = Path(__file__).parents[3] / "matcher" / "monitoring"

__all__ = ["busy"]


@pytest.fixture
def prometheus(busy: Services) -> Iterator[TestClient]:
    """A client on the hub's own machine."""
    with TestClient(create_app(busy), base_url=GATEWAY, client=("127.0.0.1", 1)) as opened:
        yield opened


def matcher(outcome: Any) -> tuple[MeasuredMatcher, CollectorRegistry]:
    """A matcher that decides this, or fails so."""

    def cycle() -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    registry = CollectorRegistry()
    return MeasuredMatcher(SimpleNamespace(cycle=cycle), registry), registry  # type: ignore[arg-type]


def test_it_tells_of_capacity_waiting_work_and_balances(prometheus: TestClient) -> None:
    told = prometheus.get("/metrics").text
    for line in (
        'fallow_centre_cores{centre="north",kind="used"} 5.0',
        'fallow_centre_offer{centre="north"} 1.0',
        'fallow_centre_offer{centre="south"} 0.0',
        'fallow_waiting_jobs{centre="north",resource_class="cpu",work_type="analysis"} 1234.0',
        "fallow_page_sessions 0.0",
    ):
        assert line in told
    assert re.search(
        r'^fallow_balance_core_seconds{centre="north",resource_class="cpu"} -7', told, re.MULTILINE
    )


def test_it_counts_requests_by_route_and_makes_no_series_for_what_strangers_ask(
    prometheus: TestClient,
) -> None:
    prometheus.get("/v1/offers")
    prometheus.get("/me/jobs/17.3")
    prometheus.get("/wp-login.php")
    told = prometheus.get("/metrics").text
    assert 'fallow_gateway_requests_total{method="GET",route="/v1/offers",status="200"} 1.0' in told
    assert 'route="/me/jobs/{job}",status="401"' in told
    assert 'fallow_gateway_requests_total{method="none",route="none",status="404"} 1.0' in told
    assert "wp-login" not in told


def test_others_may_not_read_it(client: TestClient) -> None:
    assert client.get("/metrics").status_code == 403


def test_the_matcher_tells_how_its_cycles_fare() -> None:
    good, registry = matcher(SimpleNamespace(places=(1, 2), version=3))
    good.cycle()
    told = generate_latest(registry).decode()
    assert 'fallow_matcher_cycles_total{result="decided"} 1.0' in told
    assert "fallow_matcher_waiting_groups 2.0" in told
    assert "fallow_matcher_rules_version 3.0" in told
    bad, registry = matcher(NotAvailableError("The queue does not answer."))
    with pytest.raises(NotAvailableError):
        bad.cycle()
    assert 'fallow_matcher_cycles_total{result="failed"} 1.0' in generate_latest(registry).decode()


@pytest.mark.parametrize("argv", monitoring.FILES)
def test_prometheus_takes_the_alerts_and_they_fire_when_they_should(argv: str) -> None:
    monitoring.promtool(MONITORING, *argv.split())


def test_alerts_and_dashboard_ask_only_for_what_there_is(prometheus: TestClient) -> None:
    prometheus.get("/v1/offers")
    good, registry = matcher(SimpleNamespace(places=(), version=1))
    good.cycle()
    told = prometheus.get("/metrics").text + generate_latest(registry).decode()
    assert len(monitoring.asked(MONITORING)) >= 22
    assert monitoring.missing(MONITORING, told) == set()


def test_every_panel_of_the_dashboard_has_its_place() -> None:
    monitoring.check_places(MONITORING)

"""`/metrics` of the matcher for Prometheus: how its cycles fare. It tells this to its own machine only."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from fallow_matcher.matching.cycle import Matcher
from fallow_matcher.matching.decision import Decision

LOOPBACK = "127.0.0.1"


class MeasuredMatcher:
    """A matcher whose cycles are counted.

    Args:
        matcher: The matcher.
        registry: Where the counts are registered.
    """

    def __init__(self, matcher: Matcher, registry: CollectorRegistry) -> None:
        self._matcher = matcher
        self._cycles = Counter("fallow_matcher_cycles", "Cycles.", ["result"], registry=registry)
        self._seconds = Histogram("fallow_matcher_cycle_seconds", "How long a cycle took.", registry=registry)
        self._groups = Gauge("fallow_matcher_waiting_groups", "Groups that waited.", registry=registry)
        self._version = Gauge("fallow_matcher_rules_version", "The rules that it went by.", registry=registry)
        for result in ("decided", "failed"):
            self._cycles.labels(result)

    def cycle(self) -> Decision:
        """As `Matcher.cycle`."""
        try:
            with self._seconds.time():
                decision = self._matcher.cycle()
        except Exception:
            self._cycles.labels("failed").inc()
            raise
        self._cycles.labels("decided").inc()
        self._groups.set(len(decision.places))
        self._version.set(decision.version)
        return decision


def serve(port: int) -> CollectorRegistry:
    """Serve a new registry on this machine until the process ends."""
    registry = CollectorRegistry()
    start_http_server(port, LOOPBACK, registry)
    return registry

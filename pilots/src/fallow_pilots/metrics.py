"""The launcher's numbers for Prometheus, as a file for node_exporter's textfile collector: no port is opened.

Format: *Text-based format* in Prometheus's documentation (Exposition formats); the collector reads `*.prom` in one
directory.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from fallow.files import write_public
from fallow_pilots.offer import reclaims_of
from fallow_pilots.record import PilotRecord, State

if TYPE_CHECKING:
    from fallow_pilots.credentials import Joining
    from fallow_pilots.launcher import Report

log = logging.getLogger(__name__)


def put(path: Path, registry: CollectorRegistry) -> None:
    """Write numbers to a file that everybody may read; trouble with it stops nothing."""
    try:
        write_public(path, generate_latest(registry).decode())
    except OSError as error:
        log.warning("the numbers for Prometheus were not written to %s: %s", path, error.strerror)


def numbers(
    centre: str, at: datetime, report: Report, records: Sequence[PilotRecord], joining: Joining
) -> CollectorRegistry:
    """What a cycle found.

    Args:
        centre: The launcher's centre.
        at: When the cycle ended.
        report: What the cycle did.
        records: The pilots of the last days.
        joining: What is known of the hub.
    """
    registry = CollectorRegistry()

    def gauge(name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"fallow_launcher_{name}", words, ["centre", *labels], registry=registry)

    gauge("cycle_timestamp_seconds", "When the launcher's last cycle ended.").labels(centre).set(
        at.timestamp()
    )
    gauge("launched_pilots", "Pilots that it started in that cycle.").labels(centre).set(report.launched)
    limited = gauge("limited", "1 for the clause of the policy that limited it.", "clause")
    limited.labels(centre, report.clause).set(1)
    trouble = gauge("trouble", "1 while the batch system or the hub does not answer as it should.", "side")
    trouble.labels(centre, "batch").set(report.batch_trouble is not None)
    trouble.labels(centre, "hub").set(report.hub_trouble is not None)
    pilots = gauge("pilots", "Pilots by state; lost and ended ones of the last 14 days.", "state")
    states = Counter(record.state for record in records)
    for state in State:
        pilots.labels(centre, state.value).set(states[state])
    cores = gauge("active_cores", "Cores that active pilots hold or wait for.")
    cores.labels(centre).set(sum(record.cores for record in records if record.active))
    ended = gauge("ended_pilots", "Pilots of the last 14 days that ended, by outcome code.", "code")
    for code, count in sorted(Counter(one.code for one in records if one.code is not None).items()):
        ended.labels(centre, str(code)).set(count)
    reclaims = reclaims_of(records)
    slowest = gauge("longest_reclaim_seconds", "The longest that a pilot took to go when asked, of 14 days.")
    slowest.labels(centre).set(reclaims.longest_s if reclaims else 0)
    token = gauge("token_expiry_timestamp_seconds", "When the pilots' token ends; 0 where there is none.")
    token.labels(centre).set(joining.token_until.timestamp() if joining.token_until else 0)
    return registry

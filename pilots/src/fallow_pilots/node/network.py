"""The check of what the node reaches: names, ports, the gateway and its clock, the collector."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

from fallow_pilots.node.clock import skew_s
from fallow_pilots.node.finding import Finding, Value
from fallow_pilots.spec import PilotSpec

MAX_SKEW_S = 5.0
"""Tokens and presigned URLs carry moments, and so does every record of what a job used."""
CONNECT_S = 5.0


def check_names(spec: PilotSpec) -> Finding:
    """Whether the names of what the pilot must reach itself are known here."""
    hosts = [urlsplit(hub).hostname or "" for hub in spec.hubs]
    hosts += [_address(collector)[0] for collector in spec.collectors]
    unknown = []
    for host in dict.fromkeys(hosts):
        try:
            socket.getaddrinfo(host, None)
        except (OSError, UnicodeError):
            unknown.append(host)
    if unknown:
        words = f"This node cannot resolve {', '.join(unknown)}: look at its DNS."
        return Finding("names", False, words)
    return Finding("names", True, f"{', '.join(dict.fromkeys(hosts))} can be resolved.")


def check_collector(spec: PilotSpec) -> Finding:
    """Whether the pool's collector can be reached from here; of two hubs, that of either."""
    for collector in spec.collectors:
        found = _reached("collector", f"collector {collector}", *_address(collector))
        if found.good:
            break
    return found


def check_hub(spec: PilotSpec) -> Finding:
    """Whether the gateway, of two hubs either, answers, and how far the clocks are apart; only wrong clocks are fatal."""
    for hub in spec.hubs:
        found = _check_gateway(hub, spec)
        if found.good or found.fatal:
            break
    return found


def _check_gateway(hub: str, spec: PilotSpec) -> Finding:
    import requests  # only in the process that checks

    before = time.time()
    try:
        with requests.get(
            f"{hub.rstrip('/')}/healthz",
            timeout=(CONNECT_S, CONNECT_S),
            allow_redirects=False,
            verify=str(spec.ca_file) if spec.ca_file else True,
        ) as answer:
            date = answer.headers.get("Date")
    except (requests.RequestException, OSError) as error:
        return Finding(
            "hub",
            False,
            f"The gateway {hub} does not answer ({type(error).__name__}): images cannot be fetched.",
            capabilities={"FallowHubReachable": False},
        )
    ahead = skew_s(date, before, time.time())
    found: dict[str, Value] = {"FallowHubReachable": True}
    if ahead is None:
        return Finding("hub", True, f"The gateway {hub} answers, but tells no time.", capabilities=found)
    found["FallowClockSkew"] = round(ahead, 1)
    if abs(ahead) > MAX_SKEW_S:
        words = f"This clock is {ahead:+.0f} s off the hub's: set the node's clock."
        return Finding("clock", False, words, fatal=True, capabilities=found)
    return Finding("hub", True, f"The gateway {hub} answers; clocks agree.", capabilities=found)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port) if port.isdigit() else 0


def _reached(check: str, what: str, host: str, port: int) -> Finding:
    try:
        with socket.create_connection((host, port), timeout=CONNECT_S):
            return Finding(check, True, f"The {what} can be reached.")
    except (OSError, OverflowError) as error:
        return Finding(check, False, f"The {what} cannot be reached: {error}.")

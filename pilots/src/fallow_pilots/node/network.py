"""The check of what the node reaches: names, ports, proxy, the gateway and its clock, the collector."""

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
    hosts = [urlsplit(spec.proxy or spec.hub).hostname or "", _address(spec.collector)[0]]
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


def check_proxy(spec: PilotSpec) -> Finding:
    """Whether the proxy that the policy names takes connections."""
    if spec.proxy is None:
        return Finding("proxy", True, "No proxy is needed.")
    parts = urlsplit(spec.proxy)
    return _reached("proxy", spec.proxy, parts.hostname or "", parts.port or 0)


def check_collector(spec: PilotSpec) -> Finding:
    """Whether the pool's collector can be reached from here."""
    return _reached("collector", f"collector {spec.collector}", *_address(spec.collector))


def check_hub(spec: PilotSpec) -> Finding:
    """Whether the gateway answers, and how far the clocks are apart; only wrong clocks are fatal."""
    import requests  # only in the process that checks

    proxies = {"http": spec.proxy, "https": spec.proxy} if spec.proxy else {}
    before = time.time()
    try:
        with requests.get(
            f"{spec.hub.rstrip('/')}/healthz",
            timeout=(CONNECT_S, CONNECT_S),
            allow_redirects=False,
            verify=str(spec.ca_file) if spec.ca_file else True,
            proxies=proxies,
        ) as answer:
            date = answer.headers.get("Date")
    except (requests.RequestException, OSError) as error:
        return Finding(
            "hub",
            False,
            f"The gateway {spec.hub} does not answer ({type(error).__name__}): images cannot be fetched.",
            capabilities={"FallowHubReachable": False},
        )
    ahead = skew_s(date, before, time.time())
    found: dict[str, Value] = {"FallowHubReachable": True}
    if ahead is None:
        return Finding("hub", True, f"The gateway {spec.hub} answers, but tells no time.", capabilities=found)
    found["FallowClockSkew"] = round(ahead, 1)
    if abs(ahead) > MAX_SKEW_S:
        words = f"This clock is {ahead:+.0f} s off the hub's: set the node's clock."
        return Finding("clock", False, words, fatal=True, capabilities=found)
    return Finding("hub", True, f"The gateway {spec.hub} answers; clocks agree.", capabilities=found)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port) if port.isdigit() else 0


def _reached(check: str, what: str, host: str, port: int) -> Finding:
    try:
        with socket.create_connection((host, port), timeout=CONNECT_S):
            return Finding(check, True, f"The {what} can be reached.")
    except (OSError, OverflowError) as error:
        return Finding(check, False, f"The {what} cannot be reached: {error}.")

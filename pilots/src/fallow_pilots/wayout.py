"""Whether the launcher's host reaches the hub by itself, and which lines of the policy follow where it does not."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from fallow.errors import FallowError
from fallow_pilots.proposal import Proposal
from fallow_pilots.relay.terms import Target, Terms, url_place
from fallow_pilots.relay.upstream import require_leads

DIAL_S = 5.0
WAYS = ("policy: network.proxy", "policy: network.attached")
VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy")


def look_out(hub: str, environ: Mapping[str, str]) -> Proposal:
    """What a policy should say that names neither a proxy nor an attached machine.

    Args:
        hub: The gateway's URL.
        environ: The launcher's environment, in which a site names its proxy.
    """
    host, port = url_place(hub)
    trouble = ""
    try:
        socket.create_connection((host, port), DIAL_S).close()
    except ConnectionRefusedError:
        pass  # the way is open, the gateway is away
    except (OSError, UnicodeError) as error:
        trouble = f"This host cannot dial {host}:{port} ({error})"
    if not trouble:
        return Proposal("network", "proxy", "", "This host dials the hub itself: it needs no proxy.", True)
    named = next((environ[name] for name in VARIABLES if environ.get(name)), "")
    return _by_proxy(named, (host, port), trouble) if named else _by_ssh(trouble)


def _by_proxy(named: str, place: tuple[str, int], trouble: str) -> Proposal:
    parts = urlsplit(named if "//" in named else f"http://{named}")
    proxy = f"http://{parts.hostname}:{parts.port or 80}"  # without the login that it may hold
    login = f"{parts.username}:{parts.password}" if parts.username else None
    target = Target(host=place[0], port=place[1], address="", what="gateway")
    try:
        terms = Terms(host=parts.hostname or "", port=parts.port or 80, login=login, targets=())
        require_leads(terms, [target])
    except FallowError as error:
        return Proposal("network", "proxy", "", f"{trouble}. {error.what}", False, error.remedy)
    reason = f"{trouble}, but the proxy of its environment, {proxy}, leads there."
    login_too = (
        " Write its login into a file of mode 0600, named in network.proxy_login_file." if login else ""
    )
    remedy = f"Write the line into the policy, and run the check again.{login_too}"
    return Proposal("network", "proxy", json.dumps(proxy), reason, False, remedy)


def _by_ssh(trouble: str) -> Proposal:
    return Proposal(
        "network",
        "attached",
        "true",
        f"{trouble}, and its environment names no proxy.",
        False,
        "Where the site has an HTTP proxy, name it in network.proxy. Where this host only takes ssh, write the line and run "
        "`fallow pilot attach` on a machine that reaches both.",
    )

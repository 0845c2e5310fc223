"""The people at the desk: a home directory each, with the client's configuration and a WLCG token."""

from __future__ import annotations

import json
from pathlib import Path

from fallow.errors import UsageError
from fallow.files import write_private
from fallow_testbed import hub, issuer
from fallow_testbed.host import Host
from fallow_testbed.layout import Layout


def home(layout: Layout, person: str) -> Path:
    """The person's home directory.

    Raises:
        UsageError: The testbed has no such person.
    """
    if person not in layout.spec.users:
        known = ", ".join(sorted(layout.spec.users)) or "nobody"
        raise UsageError(f"The testbed has no person {person!r} at the desk.", remedy=f"It has {known}.")
    return layout.directory / "people" / person


def prepare(layout: Layout) -> None:
    """Give everybody a home with configuration, the test CA and a fresh token."""
    ca = (layout.hub().files / issuer.CA_FILE.lstrip("/")).read_text()
    for person in layout.spec.users:
        directory = home(layout, person)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        (directory / "ca.pem").write_text(ca)
        config = {**hub.named(layout.spec), "ca_file": str(directory / "ca.pem")}
        (directory / "config.toml").write_text(
            "".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items())
        )
        renew_token(layout.hub(), directory / "token", person)


def renew_token(host: Host, path: Path, person: str) -> None:
    """Write a fresh WLCG token for the hub, readable by its owner only."""
    write_private(path, issuer.token(host, person, hub.GATEWAY_URL) + "\n")


def environment(layout: Layout, person: str) -> dict[str, str]:
    """What a person at the desk has in the environment; the rest is the caller's own."""
    directory = home(layout, person)
    return {
        "HOME": str(directory),
        "FALLOW_CONFIG": str(directory / "config.toml"),
        "BEARER_TOKEN_FILE": str(directory / "token"),
        "XDG_STATE_HOME": str(directory / ".local" / "state"),
        "XDG_CACHE_HOME": str(directory / ".cache"),
    }

"""The launcher keeps the relay that its policy wants."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fallow.messages import Federation
from fallow.settings import parse
from fallow_pilots.loop import holder
from fallow_pilots.policy import Policy
from fallow_pilots.relay import keeper
from fallow_pilots.relay.keeper import Keeper
from fallow_pilots.relay.terms import lock_of, read_terms

FEDERATION = Federation(
    name="test",
    trust_domain="t",
    collector="localhost:9618",
    schedd="q",
    queue="localhost:9619",
    s3_endpoint="https://localhost:8333",
    issuers=[],
    centres=["alder"],
)


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def terms(tmp_path: Path) -> Iterator[Path]:
    """Where the terms lie; the relay that was started there is ended."""
    yield tmp_path / "relay.json"
    for process in vars(keeper)["_started"]:
        process.kill()
        process.wait()


@pytest.fixture
def policy(tmp_path: Path) -> Callable[..., Policy]:
    """A policy with the given table `network`."""

    def make(**network: object) -> Policy:
        table = {
            "state_dir": str(tmp_path),
            "identity": {"centre": "alder", "hub": "https://localhost:8443", "token_file": "/etc/token"},
            "pilot": {"cores": 1, "memory_mb": 2000, "walltime_s": 3600},
            "limits": {"max_pilots": 1},
            "network": network,
        }
        return parse(Policy, table, source="test")

    return make


def test_open_centres_have_no_relay(policy: Callable[..., Policy], terms: Path) -> None:
    assert Keeper(policy(), terms).keep(FEDERATION) is None
    assert not terms.exists()


def test_one_relay_is_started_and_leads_to_the_hub(policy: Callable[..., Policy], terms: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    kept = Keeper(policy(profile="relay", relay_host="127.0.0.1", relay_port=port), terms)
    assert kept.keep(FEDERATION) is None
    eventually(lambda: holder(lock_of(terms)) is not None)
    running = holder(lock_of(terms))
    assert kept.keep(FEDERATION) is None
    assert holder(lock_of(terms)) == running
    known = read_terms(terms)
    assert known is not None
    assert [target.authority for target in known.targets] == [
        "localhost:8443",
        "localhost:9618",
        "localhost:9619",
        "localhost:8333",
    ]


def test_a_place_that_is_not_known_is_said(policy: Callable[..., Policy], terms: Path) -> None:
    kept = Keeper(policy(profile="relay", also=["nowhere.invalid:443"]), terms)
    assert "no IPv4 address of nowhere.invalid" in str(kept.keep(FEDERATION))


def test_a_relay_that_cannot_listen_is_said(policy: Callable[..., Policy], terms: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        network = {"profile": "relay", "relay_host": "127.0.0.1", "relay_port": taken.getsockname()[1]}
        kept = Keeper(policy(**network), terms)
        kept.keep(FEDERATION)
        eventually(lambda: "cannot listen" in str(kept.keep(FEDERATION)))

"""The launcher keeps the relay that its policy wants."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.pilots.relay.test_reach import Proxy

from fallow.messages import Federation
from fallow.settings import parse
from fallow_pilots.loop import holder
from fallow_pilots.policy import Policy
from fallow_pilots.relay import keeper
from fallow_pilots.relay.keeper import Keeper
from fallow_pilots.relay.terms import Target, Terms, lock_of, read_terms

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


def keeper_of(policy: Policy, terms: Path) -> Keeper:
    return Keeper(policy, terms, terms.with_name("upstream.json"))


def test_open_centres_have_no_relay(policy: Callable[..., Policy], terms: Path) -> None:
    assert keeper_of(policy(), terms).keep(FEDERATION) is None
    assert not terms.exists()


def test_one_relay_is_started_and_leads_to_the_hub(policy: Callable[..., Policy], terms: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    kept = keeper_of(policy(profile="relay", relay_host="127.0.0.1", relay_port=port), terms)
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
    kept = keeper_of(policy(profile="relay", also=["nowhere.invalid:443"]), terms)
    assert "no IPv4 address of nowhere.invalid" in str(kept.keep(FEDERATION))


def test_a_relay_that_cannot_listen_is_said(policy: Callable[..., Policy], terms: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        network = {"profile": "relay", "relay_host": "127.0.0.1", "relay_port": taken.getsockname()[1]}
        kept = keeper_of(policy(**network), terms)
        kept.keep(FEDERATION)
        eventually(lambda: "cannot listen" in str(kept.keep(FEDERATION)))


def test_nodes_are_told_of_the_proxy_and_where_it_leads(policy: Callable[..., Policy], terms: Path) -> None:
    with closing(Proxy()) as proxy:
        kept = keeper_of(policy(profile="proxy", proxy=f"http://127.0.0.1:{proxy.port}"), terms)
        assert kept.keep(FEDERATION) is None
        known = read_terms(terms.with_name("upstream.json"))
        assert known is not None
        assert (known.port, known.key, len(known.targets)) == (proxy.port, None, 4)
        asked = len(proxy.heads)
        assert kept.keep(FEDERATION) is None
        assert (asked, len(proxy.heads)) == (4, 4), "it is tried once, not in each cycle"
    assert "cannot be reached" in str(kept.keep(FEDERATION)), "no pilot starts while the way out is closed"
    assert not terms.exists(), "there is no relay"


def test_no_pilot_starts_while_the_proxy_refuses_what_it_needs(
    policy: Callable[..., Policy], terms: Path
) -> None:
    with closing(Proxy()) as proxy:
        proxy.answers["localhost:9618"] = "403 Forbidden"
        kept = keeper_of(policy(profile="proxy", proxy=f"http://127.0.0.1:{proxy.port}"), terms)
        assert "refuses connections to localhost:9618 (403 Forbidden)" in str(kept.keep(FEDERATION))
        proxy.answers.clear()
        assert kept.keep(FEDERATION) is None


def test_an_attached_machine_knows_the_addresses(policy: Callable[..., Policy], terms: Path) -> None:
    kept = keeper_of(policy(profile="relay", attached=True, also=["nowhere.invalid:443"]), terms)
    with closing(Proxy()) as machine:
        target = Target(host="nowhere.invalid", port=443, address="10.0.0.9", what="named in the policy")
        upstream = Terms(host="127.0.0.1", port=machine.port, key="k" * 64, targets=(target,))
        upstream.write(terms.with_name("upstream.json"))
        assert kept.lead(FEDERATION)[1][-1] == target

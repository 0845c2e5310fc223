"""A pilot, and a relay, that go by the site's proxy; beyond it the hub sends back what it is sent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.pilots.relay.test_reach import Proxy
from tests.pilots.relay.test_relay import PRETENDED, TALK, eventually, free_port, reached, said_to, within

from fallow.errors import RefusedError
from fallow_pilots.node.bounded import gather
from fallow_pilots.node.layout import Layout
from fallow_pilots.node.surroundings import looks
from fallow_pilots.node.way import open_way
from fallow_pilots.relay import connect
from fallow_pilots.relay.terms import Target, Terms, renew
from fallow_pilots.spec import PilotSpec

__all__ = ["free_port"]

Make = Callable[..., PilotSpec]
TARGET = Target(host="hub", port=8443, address=PRETENDED, what="gateway")


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with closing(Proxy()) as found:
        yield found


@pytest.fixture
def upstream(proxy: Proxy, tmp_path: Path) -> Path:
    """The terms of the proxy."""
    path = tmp_path / "upstream.json"
    Terms(host="127.0.0.1", port=proxy.port, targets=(TARGET,)).write(path)
    return path


def test_what_dials_the_hub_in_the_enclave_goes_by_the_proxy(
    make_spec: Make, place: Layout, proxy: Proxy, upstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    way = open_way(make_spec(way_file=upstream), place)
    assert "https_proxy" not in os.environ, "from inside it leads nowhere"
    done = within(way, TALK.format(port=8443))
    way.close()
    assert done.stdout.split()[2:] == ["3000000"], done.stderr
    assert proxy.heads[-1].startswith("CONNECT hub:8443 HTTP/1.1\r\n")


def test_a_pilot_whose_proxy_refuses_the_hub_says_so_at_its_start(
    make_spec: Make, place: Layout, proxy: Proxy, upstream: Path
) -> None:
    proxy.answers["hub:8443"] = "403 Forbidden"
    with pytest.raises(RefusedError, match=r"refuses connections to hub:8443 \(403 Forbidden\)"):
        open_way(make_spec(way_file=upstream), place)


def test_a_relay_goes_by_the_proxy_and_says_what_it_refuses(
    proxy: Proxy, upstream: Path, tmp_path: Path, free_port: int
) -> None:
    terms = tmp_path / "relay.json"
    other = TARGET.model_copy(update={"port": 9618})
    renew(terms, "127.0.0.1", free_port, [TARGET, other], upstream)
    proxy.answers["hub:9618"] = "403 Forbidden"
    relay = subprocess.Popen([sys.executable, "-m", "fallow_pilots.relay", str(terms)])
    try:
        eventually(lambda: reached(terms))
        assert said_to(terms, "hub:8443") == connect.CONNECTED.encoded() + b"hello"
        assert said_to(terms, "hub:9618") == connect.UNREACHED.encoded()
    finally:
        relay.kill()
        relay.wait()


@pytest.mark.parametrize(("answer", "reached"), [("200 OK", True), ("403 Forbidden", False)])
def test_a_node_says_whether_the_proxy_leads_it_to_the_hub(
    make_spec: Make, place: Layout, proxy: Proxy, upstream: Path, *, answer: str, reached: bool
) -> None:
    proxy.answers["hub:8443"] = answer
    found = {finding.check: finding for finding in gather(looks(make_spec(probe_proxy=upstream), place))}
    assert found["way to the proxy"].capabilities == {"FallowProxyReached": reached}
    assert found["way to the proxy"].good, "another profile may do"

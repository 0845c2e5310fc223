"""Which way out the launcher's host has, where its policy names none."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.pilots.relay.test_reach import Proxy

from fallow_pilots.wayout import look_out

HUB = "https://hub.example.org:8443"


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that dials nothing outside."""

    def dial(*_: object, **__: object) -> socket.socket:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("socket.create_connection", dial)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with closing(Proxy()) as found:
        yield found


def test_a_host_that_dials_the_hub_needs_nothing() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as hub:
        assert look_out(f"https://127.0.0.1:{hub.getsockname()[1]}", {}).stands


def test_a_hub_that_is_away_is_no_closed_way() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        port = gone.getsockname()[1]
    assert look_out(f"https://127.0.0.1:{port}", {}).stands


@pytest.mark.usefixtures("cut_off")
def test_the_proxy_of_the_environment_is_proposed_without_its_password(proxy: Proxy) -> None:
    found = look_out(HUB, {"https_proxy": f"http://site:secret@127.0.0.1:{proxy.port}/"})
    assert (found.clause, found.value) == ("network.proxy", json.dumps(f"http://127.0.0.1:{proxy.port}"))
    assert (found.stands, "proxy_login_file" in found.remedy) == (False, True)
    assert "secret" not in f"{found}"
    assert "Basic " in proxy.heads[0]


@pytest.mark.usefixtures("cut_off")
def test_a_proxy_that_refuses_the_hub_is_told_with_what_to_ask_for(proxy: Proxy) -> None:
    proxy.answers["hub.example.org:8443"] = "403 Forbidden"
    found = look_out(HUB, {"HTTPS_PROXY": f"127.0.0.1:{proxy.port}"})
    assert (found.value, found.stands) == ("", False)
    assert "refuses connections to hub.example.org:8443 (403 Forbidden)" in found.reason
    assert "allow CONNECT to hub.example.org:8443" in found.remedy


@pytest.mark.usefixtures("cut_off")
def test_a_host_without_any_way_out_may_be_attached() -> None:
    found = look_out(HUB, {})
    assert (found.clause, found.value, found.stands) == ("network.attached", "true", False)
    assert "fallow pilot attach" in found.remedy

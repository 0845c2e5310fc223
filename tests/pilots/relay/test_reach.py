"""Connections by whoever the terms name; the other side is a socket that answers as it is told."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from fallow.errors import NotAvailableError, RefusedError, SettingsError
from fallow_pilots.policy import Network
from fallow_pilots.relay.reach import NoWayError, reach_now
from fallow_pilots.relay.terms import Target, Terms
from fallow_pilots.relay.upstream import dial_of, require_leads, upstream_of

GATEWAY = Target(host="hub", port=8443, address="10.0.0.1", what="gateway")
QUEUE = Target(host="hub", port=9619, address="10.0.0.1", what="HTCondor queue")
GRANTED = "200 OK"


class Proxy:
    """Answers each CONNECT by `answers`, where the target is in it, else by 200; then it sends back what it is sent."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.heads: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection = self._server.accept()[0]
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                piece = connection.recv(1)
                if not piece:
                    return  # somebody only looked whether we are there
                head += piece
            self.heads.append(head.decode())
            status = self.answers.get(head.decode().split(" ")[1], GRANTED)
            connection.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())
            while status == GRANTED and (piece := connection.recv(4096)):
                connection.sendall(piece)

    def close(self) -> None:
        """Take no more connections."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    found = Proxy()
    yield found
    with suppress(OSError):
        found.close()


@pytest.fixture
def terms(proxy: Proxy) -> Terms:
    return Terms(host="127.0.0.1", port=proxy.port, login="site:secret", targets=())


def network(proxy: Proxy, **more: object) -> Network:
    return Network.model_validate({"proxy": f"http://127.0.0.1:{proxy.port}", **more})


def test_a_proxy_is_asked_with_the_login_that_it_wants(proxy: Proxy, terms: Terms) -> None:
    with reach_now(terms, "hub:8443", 10) as connection:
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"
    login = base64.b64encode(b"site:secret").decode()
    assert proxy.heads == [
        f"CONNECT hub:8443 HTTP/1.1\r\nHost: hub:8443\r\nProxy-Authorization: Basic {login}\r\n\r\n"
    ]


def test_what_a_proxy_says_no_to_is_told_with_its_words(proxy: Proxy, terms: Terms) -> None:
    proxy.answers["hub:9619"] = "403 Access violation"
    with pytest.raises(NoWayError, match=r"makes no connection to hub:9619: 403 Access violation") as caught:
        reach_now(terms, "hub:9619", 10)
    assert caught.value.refused


def test_all_that_a_proxy_refuses_is_named_with_what_to_ask_for(proxy: Proxy, terms: Terms) -> None:
    proxy.answers["hub:9619"] = "403 Forbidden"
    with pytest.raises(RefusedError) as caught:
        require_leads(terms, [GATEWAY, QUEUE])
    assert caught.value.what == (
        f"The site's proxy at 127.0.0.1:{proxy.port} refuses connections to hub:9619 (403 Forbidden)."
    )
    assert "allow CONNECT to hub:8443 (gateway), hub:9619 (HTCondor queue)" in caught.value.remedy


def test_a_proxy_that_wants_a_login_is_told_so(proxy: Proxy, terms: Terms) -> None:
    proxy.answers["hub:8443"] = "407 Proxy Authentication Required"
    with pytest.raises(RefusedError) as caught:
        require_leads(terms, [GATEWAY])
    assert "network.proxy_login_file" in caught.value.remedy


def test_a_hub_that_is_away_is_no_refusal(proxy: Proxy, terms: Terms) -> None:
    proxy.answers["hub:8443"] = "503 Service Unavailable"
    require_leads(terms, [GATEWAY])


def test_a_proxy_that_is_away_is_told_so(proxy: Proxy, terms: Terms) -> None:
    proxy.close()
    with pytest.raises(NotAvailableError, match=r"The site's proxy at 127.0.0.1:[0-9]+ cannot be reached"):
        require_leads(terms, [GATEWAY])


def test_a_machine_that_leads_to_less_is_asked_for_more() -> None:
    other = Proxy()
    other.answers["hub:9619"] = "403 The relay does not lead there"
    terms = Terms(host="127.0.0.1", port=other.port, key="k" * 64, targets=())
    with closing(other), pytest.raises(RefusedError, match=r"The attached machine at .* refuses") as caught:
        require_leads(terms, [QUEUE])
    assert "--also" in caught.value.remedy


def test_the_launcher_dials_by_the_proxy_of_its_policy(proxy: Proxy, tmp_path: Path) -> None:
    login = tmp_path / "login"
    login.write_text("site:secret\n")
    login.chmod(0o600)
    dial = dial_of(network(proxy, proxy_login_file=str(login)), tmp_path / "upstream.json")
    assert dial is not None
    dial("hub", 8443, 10).close()
    assert "Basic " in proxy.heads[0]
    assert dial_of(Network(), tmp_path / "upstream.json") is None


@pytest.mark.parametrize(
    ("text", "mode", "said"), [("nonsense", 0o600, "user:password"), ("a:b", 0o644, "mode 0644")]
)
def test_a_login_must_be_one_and_private(
    proxy: Proxy, tmp_path: Path, text: str, mode: int, said: str
) -> None:
    login = tmp_path / "login"
    login.write_text(text)
    login.chmod(mode)
    with pytest.raises(SettingsError, match=said):
        upstream_of(network(proxy, proxy_login_file=str(login)), tmp_path / "upstream.json")


def test_a_host_that_nobody_is_attached_to_says_what_to_do(tmp_path: Path) -> None:
    attached = Network(attached=True)
    with pytest.raises(NotAvailableError, match="fallow pilot attach"):
        upstream_of(attached, tmp_path / "upstream.json")
    dial = dial_of(attached, tmp_path / "upstream.json")
    assert dial is not None
    with pytest.raises(OSError, match="No machine is attached"):
        dial("hub", 8443, 1)


def test_an_attached_machine_that_has_gone_is_told_so(proxy: Proxy, tmp_path: Path) -> None:
    place = tmp_path / "upstream.json"
    Terms(host="127.0.0.1", port=proxy.port, key="k" * 64, targets=(GATEWAY,)).write(place)
    proxy.close()
    dial: Callable[..., socket.socket] | None = dial_of(Network(attached=True), place)
    assert dial is not None
    with pytest.raises(OSError, match=r"The attached machine is away"):
        dial("hub", 8443, 5)

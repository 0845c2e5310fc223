"""The relay and a node's enclave, with real sockets and namespaces; the hub is a socket that echoes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from fallow_pilots.loop import holder
from fallow_pilots.node.enclave import own_address
from fallow_pilots.node.layout import Layout
from fallow_pilots.node.way import Way, open_way
from fallow_pilots.relay import connect
from fallow_pilots.relay.terms import Target, lock_of, log_of, read_terms, renew
from fallow_pilots.spec import PilotSpec

PRETENDED = "10.99.0.1"
"""The hub's address, as the enclave knows it."""


def eventually(holds: Callable[[], bool], limit_s: float = 60) -> None:
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def hub() -> Iterator[int]:
    """The port of a server that sends back what it is sent."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection = server.accept()[0]
                threading.Thread(target=echo, args=(connection,), daemon=True).start()

    def echo(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while piece := connection.recv(65536):
                connection.sendall(piece)

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.fixture
def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def files() -> Path | None:
    """Where connections lie as files; None: the relay listens."""
    return None


@pytest.fixture
def terms(tmp_path: Path, hub: int, free_port: int, files: Path | None) -> Path:
    path = tmp_path / "relay.json"
    gateway = Target(host="localhost", port=hub, address=PRETENDED, what="gateway")
    renew(path, "127.0.0.1", free_port, [gateway], files=files)
    return path


@pytest.fixture
def start(terms: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts a relay, and returns when it takes connections."""
    started: list[subprocess.Popen[bytes]] = []

    def go() -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-m", "fallow_pilots.relay", str(terms)])
        started.append(process)
        eventually(lambda: reached(terms) or takes_files(terms))
        return process

    yield go
    for process in started:
        process.kill()
        process.wait()


def reached(terms: Path) -> bool:
    known = read_terms(terms)
    assert known is not None
    try:
        socket.create_connection((known.host, known.port), 5).close()
    except OSError:
        return False
    return True


def takes_files(terms: Path) -> bool:
    known = read_terms(terms)
    assert known is not None
    return known.files is not None and holder(lock_of(terms)) is not None


def said_to(terms: Path, target: str, key: str | None = None) -> bytes:
    """What the relay answers, and what the target echoes."""
    known = read_terms(terms)
    assert known is not None
    with socket.create_connection((known.host, known.port), 10) as connection:
        connection.sendall(connect.request(target, key or known.key or "", time.time()) + b"hello")
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_the_relay_carries_to_its_targets_and_nowhere_else(
    terms: Path, hub: int, start: Callable[[], object]
) -> None:
    start()
    assert said_to(terms, f"localhost:{hub}") == connect.CONNECTED.encoded() + b"hello"
    assert said_to(terms, "localhost:22") == connect.ELSEWHERE.encoded()
    assert said_to(terms, f"localhost:{hub}", "x" * 64) == connect.UNPROVEN.encoded()
    assert "localhost:22" in log_of(terms).read_text()


def test_its_numbers_are_a_file_that_goes_with_it(
    terms: Path, hub: int, start: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    known, numbers = read_terms(terms), tmp_path / "fallow_relay_alder.prom"
    assert known is not None
    process = start()
    assert said_to(terms, f"localhost:{hub}").endswith(b"hello")
    assert said_to(terms, "localhost:22") == connect.ELSEWHERE.encoded()
    renew(terms, known.host, known.port, known.targets, files=known.files, metrics=numbers)
    eventually(numbers.exists)
    told = numbers.read_text()
    here = f'relay="{terms}"'
    assert f'fallow_relay_connections_total{{{here},status="200"}} 1.0' in told
    assert f'fallow_relay_connections_total{{{here},status="403"}} 1.0' in told
    assert f"fallow_relay_bytes_total{{{here}}} 10.0" in told
    assert f"fallow_relay_open_connections{{{here}}} 0.0" in told
    assert numbers.stat().st_mode & 0o777 == 0o644
    terms.unlink()
    assert process.wait(30) == 0
    assert not numbers.exists()


def test_a_target_that_is_away_is_said_to_be(
    terms: Path, free_port: int, start: Callable[[], object]
) -> None:
    start()
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        away = server.getsockname()[1]
    renew(terms, "127.0.0.1", free_port, [Target(host="localhost", port=away, address=PRETENDED, what="x")])
    eventually(lambda: said_to(terms, f"localhost:{away}") == connect.UNREACHED.encoded())


def test_a_second_relay_gives_way(terms: Path, start: Callable[[], object]) -> None:
    start()
    assert lock_of(terms).exists()
    assert (
        subprocess.run([sys.executable, "-m", "fallow_pilots.relay", str(terms)], check=False).returncode == 0
    )


def test_a_relay_whose_port_is_taken_says_so(terms: Path) -> None:
    known = read_terms(terms)
    assert known is not None
    with closing(socket.create_server(("127.0.0.1", known.port))):
        done = subprocess.run([sys.executable, "-m", "fallow_pilots.relay", str(terms)], check=False)
    assert done.returncode == 1
    assert "cannot listen" in log_of(terms).read_text()


def test_a_relay_without_terms_ends(terms: Path, start: Callable[[], subprocess.Popen[bytes]]) -> None:
    process = start()
    terms.unlink()
    assert process.wait(30) == 0


@pytest.fixture
def way(make_spec: Callable[..., PilotSpec], place: Layout, terms: Path) -> Iterator[Way]:
    """A pilot's way through the relay."""
    found = open_way(make_spec(way_file=terms), place)
    yield found
    found.close()


def carrier_of(way: Way) -> int:
    return int(vars(way)["_process"])


def within(way: Way, script: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the enclave."""
    return subprocess.run(
        [sys.executable, "-c", script], preexec_fn=way.enter, capture_output=True, text=True, check=False
    )


TALK = """
import socket
with socket.create_connection(("HUB", {port}), 10) as hub:
    hub.sendall(b"x" * 3_000_000)
    hub.shutdown(socket.SHUT_WR)
    print(hub.getsockname()[0], hub.getpeername()[0], sum(len(p) for p in iter(lambda: hub.recv(65536), b"")))
""".replace("HUB", PRETENDED)


def test_what_dials_the_hub_in_the_enclave_is_carried_there(
    way: Way, hub: int, start: Callable[[], object]
) -> None:
    start()
    done = within(way, TALK.format(port=hub))
    assert done.stdout.split() == [own_address("alder-7"), PRETENDED, "3000000"], done.stderr


def test_the_relay_and_the_carrier_may_die_and_come_back(
    way: Way, hub: int, start: Callable[[], subprocess.Popen[bytes]]
) -> None:
    first = start()
    first.kill()
    first.wait()
    assert within(way, TALK.format(port=hub)).stdout.split()[2:] in ([], ["0"]), "there is no relay"
    start()
    before = carrier_of(way)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: (way.keep(), carrier_of(way) != before)[1])  # type: ignore[func-returns-value]
    assert within(way, TALK.format(port=hub)).stdout.endswith(" 3000000\n")


def test_nothing_else_is_in_the_enclave(way: Way, free_port: int) -> None:
    names = within(way, "import socket; print(*sorted(name for _, name in socket.if_nameindex()))")
    assert names.stdout.split() == ["fallow0", "lo"]
    with closing(socket.create_server(("127.0.0.1", free_port))):
        done = within(way, f"import socket; socket.create_connection(('127.0.0.1', {free_port}), 5)")
    assert "ConnectionRefusedError" in done.stderr


class TestByFiles:
    """The node dials nothing."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> Path:
        return tmp_path / "carried"

    def test_what_dials_the_hub_in_the_enclave_is_carried_there_whoever_dies(
        self, way: Way, terms: Path, hub: int, start: Callable[[], subprocess.Popen[bytes]]
    ) -> None:
        def talks() -> bool:
            return within(way, TALK.format(port=hub)).stdout.endswith(" 3000000\n")

        first = start()
        assert not reached(terms), "nobody listens"
        eventually(talks)
        first.kill()
        first.wait()
        second = start()
        eventually(talks)
        before = carrier_of(way)
        os.kill(before, signal.SIGKILL)
        eventually(lambda: (way.keep(), carrier_of(way) != before)[1])  # type: ignore[func-returns-value]
        eventually(talks)
        terms.unlink()
        assert second.wait(30) == 0

    def test_a_pilot_that_ends_leaves_nothing(
        self,
        make_spec: Callable[..., PilotSpec],
        place: Layout,
        terms: Path,
        hub: int,
        files: Path,
        start: Callable[[], object],
    ) -> None:
        start()
        way = open_way(make_spec(way_file=terms), place)
        eventually(lambda: within(way, TALK.format(port=hub)).stdout.endswith(" 3000000\n"))
        way.close()
        assert list(files.iterdir()) == []

"""Servers over real TLS on loopback: one that answers as a test says, and the development issuer."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fallow_dev_issuer.certificates import TestAuthority, utc_now

Wire = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Scripted:
    """A TLS server whose answers a test sets: for each request the next one, the last one for ever."""

    url: str
    ca_file: Path
    answers: list[Wire] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def says(self, status: int, body: object = None, **headers: str) -> None:
        """Add an answer; a body that is not bytes is sent as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append(
            (status, {name.replace("_", "-"): value for name, value in headers.items()}, content)
        )

    def answer(self, asked: Asked) -> Wire:
        self.asked.append(asked)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@dataclass(frozen=True)
class Authority:
    """A test certificate authority."""

    directory: Path

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.pem"

    def context(self, *hosts: str) -> ssl.SSLContext:
        out = self.directory / "-".join(hosts)
        TestAuthority(self.directory).ensure_certificate(list(hosts), out, utc_now())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(out / "tls.pem", out / "tls-key.pem")
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    directory = tmp_path_factory.mktemp("authority")
    TestAuthority(directory).ensure(utc_now())
    return Authority(directory)


@pytest.fixture
def serve(authority: Authority) -> Iterator[Callable[..., Scripted]]:
    running: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(*hosts: str, by: Authority = authority) -> Scripted:
        scripted = Scripted("", by.ca_file)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, extra, content = scripted.answer(Asked(self.command, self.path, headers, body))
                self.close_connection = True
                self.send_response(status)
                for name, value in {
                    "Content-Length": str(len(content)),
                    "Connection": "close",
                    **extra,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):  # the client may have heard enough
                    self.wfile.write(content)

            do_GET = do_POST = do_PUT = handle_any  # noqa: N815 - names that the library calls

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *args: object) -> None:
                pass  # a client that does not trust us hangs up during the handshake

        server = Server(("127.0.0.1", 0), Handler)
        server.socket = by.context(*(hosts or ("127.0.0.1",))).wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))
        scripted.url = f"https://127.0.0.1:{server.server_address[1]}"
        return scripted

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server(serve: Callable[..., Scripted]) -> Scripted:
    return serve()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home without any token or configuration."""
    directory = tmp_path / "home"
    directory.mkdir()
    for name in (
        "BEARER_TOKEN",
        "BEARER_TOKEN_FILE",
        "XDG_CONFIG_HOME",
        "FALLOW_CONFIG",
        "FALLOW_HUB",
        "FALLOW_CA_FILE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    monkeypatch.setenv("XDG_STATE_HOME", str(directory / "state"))
    return directory

"""Whether a registry holds an image, asked of a small server that speaks the OCI distribution protocol over TLS."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme

from fallow.errors import NotAvailableError, RefusedError
from fallow_pilots.node.registry import Registries

DIGEST, OTHER = "ab" * 32, "cd" * 32


class Registry:
    """Repositories with their blobs; `token`, where set, must be fetched first; `status`, where set, is the only answer."""

    def __init__(self) -> None:
        self.blobs = {"tools/bwa": {DIGEST}, "evil/bwa": {OTHER}}
        self.token = ""
        self.status = 0
        self.asked: list[str] = []
        self.host = ""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return ca, path


@pytest.fixture
def registry(authority: tuple[trustme.CA, Path]) -> Iterator[Registry]:
    state = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            state.asked.append(self.path)
            repository, digest = self.path.removeprefix("/v2/").split("/blobs/sha256:")
            if state.token and self.headers.get("Authorization") != f"Bearer {state.token}":
                self.send_response(401)
                realm = f"https://{state.host}/token"
                self.send_header("WWW-Authenticate", f'Bearer realm="{realm}",service="registry"')
            else:
                self.send_response(
                    state.status or (200 if digest in state.blobs.get(repository, ()) else 404)
                )
            self.end_headers()

        def do_GET(self) -> None:
            state.asked.append(self.path)
            assert parse_qs(urlsplit(self.path).query)["scope"] == ["repository:tools/bwa:pull"]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f'{{"token": "{state.token}"}}'.encode())

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    state.host = f"localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def tools(registry: Registry, authority: tuple[trustme.CA, Path]) -> Registries:
    return Registries([f"oras://{registry.host}/tools/"], authority[1])


def test_an_image_in_an_allowed_repository_counts(registry: Registry, tools: Registries) -> None:
    source = f"oras://{registry.host}/tools/bwa"
    assert tools.require(DIGEST, [f"oras://{registry.host}/tools/other", source]) == source


def test_a_job_that_lies_about_its_image_is_refused(registry: Registry, tools: Registries) -> None:
    with pytest.raises(RefusedError, match="lies in no registry that the policy allows"):
        tools.require(OTHER, [f"oras://{registry.host}/tools/bwa"])


@pytest.mark.parametrize(
    "path", ["/evil/bwa", "/tools/../evil/bwa", "/tools", "/tools2/bwa", "/tools/bwa?x", "/tools/%2e%2e/evil"]
)
def test_only_repositories_below_the_prefix_are_asked(
    registry: Registry, tools: Registries, path: str
) -> None:
    with pytest.raises(RefusedError, match="the job names none of them"):
        tools.require(OTHER, [f"oras://{registry.host}{path}"])
    assert registry.asked == []


def test_a_registry_that_wants_a_token_gets_the_one_that_it_gives_to_anybody(
    registry: Registry, tools: Registries
) -> None:
    registry.token = "anybody"
    assert tools.require(DIGEST, [f"oras://{registry.host}/tools/bwa"])
    assert registry.asked[1].startswith("/token?")


@pytest.mark.parametrize("status", [307, 200])
def test_a_registry_that_points_elsewhere_for_the_bytes_holds_them(
    registry: Registry, tools: Registries, status: int
) -> None:
    registry.status = status
    assert tools.require(OTHER, [f"oras://{registry.host}/tools/bwa"])


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_registry_in_trouble_leaves_the_question_open(
    registry: Registry, tools: Registries, status: int
) -> None:
    registry.status = status
    with pytest.raises(NotAvailableError, match=f"answered {status}") as caught:
        tools.require(DIGEST, [f"oras://{registry.host}/tools/bwa"])
    assert caught.value.retryable


def test_a_registry_that_nobody_vouches_for_is_not_believed(registry: Registry) -> None:
    strange = Registries([f"oras://{registry.host}/tools/"], None)
    with pytest.raises(NotAvailableError, match="does not answer"):
        strange.require(DIGEST, [f"oras://{registry.host}/tools/bwa"])

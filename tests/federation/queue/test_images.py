import base64
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from fallow.client import ClientSettings
from fallow.errors import NotAvailableError, RefusedError, UsageError
from fallow.hub import HubClient
from fallow.messages import ImageUpload
from fallow.offers import Message
from fallow.queue import images
from fallow.queue.images import Digests, publish

M = TypeVar("M", bound=Message)
DIGEST = "sha256:" + "c" * 64


class Hub(HubClient):
    """A hub that has an image already, or an address to send it to."""

    def __init__(self, url: str | None) -> None:
        super().__init__(
            ClientSettings(hub="https://hub.example.org"), token=lambda: pytest.fail("no token is needed")
        )
        self.url = url
        self.told: list[tuple[str, str]] = []

    def ask(self, model: type[M], method: str, path: str, document: str | None = None) -> M:
        self.told.append((f"{method} {path}", document or ""))
        return model.model_validate({"digest": DIGEST, "bytes": 5, "published": []})

    def image_upload(self, digest: str) -> ImageUpload | None:
        return ImageUpload(url=self.url) if self.url else None


class Store(http.server.BaseHTTPRequestHandler):
    status = 200
    answer = b""
    received: ClassVar[list[bytes]] = []
    headers_seen: ClassVar[dict[str, str]] = {}

    def do_PUT(self) -> None:
        self.received.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(self.status)
        self.headers_seen.update(self.headers.items())
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def store() -> Iterator[tuple[type[Store], str]]:
    handler = type("Fresh", (Store,), {"received": [], "headers_seen": {}})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield handler, f"http://127.0.0.1:{server.server_port}/images/x?signature=secret"
        server.shutdown()
        thread.join()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "worker.sif"
    path.write_bytes(b"image")
    return path


def test_a_digest_is_computed_once_for_an_unchanged_file(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = "sha256:" + hashlib.sha256(b"image").hexdigest()
    assert Digests(tmp_path / "cache" / "digests").of(image) == expected
    monkeypatch.setattr(images, "sha256_of", lambda path: pytest.fail("computed again"))
    assert Digests(tmp_path / "cache" / "digests").of(image) == expected


def test_a_changed_file_has_a_new_digest(tmp_path: Path, image: Path) -> None:
    digests = Digests(tmp_path / "cache" / "digests")
    before = digests.of(image)
    image.write_bytes(b"other image")
    assert digests.of(image) != before


def test_a_damaged_memory_of_digests_is_started_anew(tmp_path: Path, image: Path) -> None:
    store = tmp_path / "digests"
    store.write_text("[1, 2")
    assert Digests(store).of(image).startswith("sha256:")


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.sif"):
        Digests(tmp_path / "digests").of(tmp_path / "absent.sif")


def test_an_image_goes_to_the_hubs_store(store: Any, image: Path) -> None:
    handler, url = store
    hub = Hub(url)
    sent: list[int] = []
    assert publish(hub, image, DIGEST, watch=sent.append)
    assert handler.received == [b"image"]
    assert sum(sent) == len(b"image")
    assert hub.told == [(f"POST /v1/images/{DIGEST}", '{"labels":{},"source":"file worker.sif"}')]


def test_the_store_is_told_which_bytes_to_take(store: Any, image: Path) -> None:
    handler, url = store
    publish(Hub(url), image, DIGEST)
    assert handler.headers_seen["x-amz-checksum-sha256"] == base64.b64encode(b"\xcc" * 32).decode()
    assert handler.headers_seen["If-None-Match"] == "*"


def test_other_bytes_than_those_of_the_digest_are_told(store: Any, image: Path) -> None:
    handler, url = store
    handler.status, handler.answer = 400, b"<Error><Code>BadDigest</Code></Error>"
    hub = Hub(url)
    with pytest.raises(RefusedError, match="does not have the digest"):
        publish(hub, image, DIGEST)
    assert hub.told == []


def test_an_image_that_the_hub_has_is_not_sent(store: Any, image: Path) -> None:
    handler, _ = store
    assert not publish(Hub(None), image, DIGEST)
    assert handler.received == []


def test_a_store_that_refuses_is_told_without_the_presigned_address(store: Any, image: Path) -> None:
    handler, url = store
    handler.status = 507
    with pytest.raises(NotAvailableError, match="status 507") as caught:
        publish(Hub(url), image, DIGEST)
    assert "secret" not in str(caught.value)


def test_a_store_that_is_away_is_told_without_the_presigned_address(image: Path) -> None:
    hub = Hub("http://127.0.0.1:1/x?signature=secret")
    with pytest.raises(NotAvailableError, match="could not be sent") as caught:
        publish(hub, image, DIGEST)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__

"""Images at the gateway, with a real S3 store: nothing under another's digest, and tags by what the token says."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi.testclient import TestClient
from tests.matcher.conftest import bearer

from fallow.errors import NotAvailableError
from fallow.images.signing import sign
from fallow_matcher.gateway import s3
from fallow_matcher.gateway.services import Services
from fallow_matcher.images.wanted import Need, Needs, needs
from fallow_matcher.settings import HubSettings

Headers = dict[str, str]


@pytest.fixture
def settings(raw: Callable[..., dict[str, Any]], endpoint: str) -> HubSettings:
    table = raw()
    storage = {**table["storage"], "endpoint": endpoint, "role": "arn:aws:iam::role/fallow-user"}
    return HubSettings.model_validate({**table, "storage": storage})


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch, services: Services) -> list[str]:
    """The constraints that the queue was asked for; it has no job. There is no queue here."""
    asked: list[str] = []

    def jobs(constraint: str, *_: object) -> list[Any]:
        asked.append(constraint)
        return []

    monkeypatch.setattr(services.pool, "jobs", jobs)
    return asked


@pytest.fixture
def bob(tokens: Any) -> Headers:
    return bearer(tokens.make("bob", groups=("/fallow", "/fallow/north")))


@pytest.fixture
def reader(tokens: Any) -> Headers:
    return bearer(tokens.make("carol", scope="compute.read", groups=("/fallow", "/fallow/north")))


class Images:
    """Sends images as a client does."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def upload(self, headers: Headers, digest: str, body: bytes, **changes: str) -> int:
        url = self.client.put(f"/v1/images/{digest}", headers=headers).json()["url"]
        sent = {"If-None-Match": "*", "x-amz-checksum-sha256": s3.checksum(digest), **changes}
        return requests.put(url, data=body, headers=sent, timeout=30).status_code

    def publish(self, headers: Headers, body: bytes, **statement: Any) -> str:
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        assert self.upload(headers, digest, body) == 200
        assert self.client.post(f"/v1/images/{digest}", headers=headers, json=statement).status_code == 200
        return digest

    def record(self, headers: Headers, digest: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/v1/images/{digest}/record", headers=headers).json()
        return found

    def tag(self, headers: Headers, name: str, digest: str, **more: bool) -> Any:
        return self.client.put(f"/v1/tags/{name}", headers=headers, json={"digest": digest, **more})


@pytest.fixture
def images(client: TestClient) -> Images:
    return Images(client)


def test_other_bytes_are_not_taken_under_a_digest(images: Images, alice: Headers, objects: Any) -> None:
    digest = f"sha256:{hashlib.sha256(b'victim').hexdigest()}"
    assert images.upload(alice, digest, b"planted") == 400
    own = {"x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(b"planted").digest()).decode()}
    assert images.upload(alice, digest, b"planted", **own) == 403
    assert images.client.get(f"/v1/images/{digest}", headers=alice).status_code == 404
    assert images.publish(alice, b"victim") == digest


def test_what_a_careless_store_took_is_found_and_removed(
    images: Images, alice: Headers, objects: Any
) -> None:
    digest = f"sha256:{hashlib.sha256(b'promised').hexdigest()}"
    objects.put_object(Bucket="fallow", Key=s3.image_key(digest), Body=b"planted")
    answer = images.client.post(f"/v1/images/{digest}", headers=alice, json={})
    assert (answer.status_code, answer.json()["error"]) == (409, "conflict")
    assert images.publish(alice, b"promised") == digest


def test_each_publisher_speaks_for_itself(images: Images, alice: Headers, bob: Headers) -> None:
    digest = images.publish(alice, b"shared", labels={"a": "1"}, source="file a.sif")
    images.client.post(f"/v1/images/{digest}", headers=bob, json={"labels": {"a": "2"}})
    images.client.post(f"/v1/images/{digest}", headers=alice, json={"labels": {"a": "3"}})
    said = {one["publisher"]: one["labels"] for one in images.record(bob, digest)["published"]}
    assert said == {"north.alice": {"a": "3"}, "north.bob": {"a": "2"}}
    listed = images.client.get("/v1/images", headers=alice).json()["images"]
    assert [one["digest"] for one in listed] == [digest]


def test_a_signature_has_to_hold(images: Images, alice: Headers) -> None:
    digest = images.publish(alice, b"signed")
    key, signature = sign(Ed25519PrivateKey.generate(), digest, None)
    good = images.client.post(
        f"/v1/images/{digest}", headers=alice, json={"key": key, "signature": signature}
    )
    assert good.status_code == 200
    tree = "sha256:" + "0" * 64
    for document in ({"key": key, "signature": signature, "tree": tree}, {"key": key}):
        assert images.client.post(f"/v1/images/{digest}", headers=alice, json=document).status_code == 422


@pytest.mark.parametrize(
    "statement",
    [
        {"labels": {"UPPER": "x"}},
        {"labels": {"a": "line\nbreak"}},
        {"labels": {str(number): "" for number in range(40)}},
        {"source": "x" * 501},
        {"source": "\x1b[2J"},
        {"key": "ssh-rsa AAAA"},
    ],
)
def test_a_statement_is_checked(images: Images, alice: Headers, statement: dict[str, Any]) -> None:
    answer = images.client.post(f"/v1/images/sha256:{'a' * 64}", headers=alice, json=statement)
    assert answer.status_code == 422


def test_who_may_only_read_publishes_and_tags_nothing(
    images: Images, alice: Headers, reader: Headers
) -> None:
    digest = images.publish(alice, b"readers")
    assert images.client.post(f"/v1/images/{digest}", headers=reader, json={}).status_code == 403
    assert images.client.delete(f"/v1/images/{digest}", headers=reader).status_code == 403
    assert images.tag(reader, "~/x/1", digest).status_code == 403
    assert images.record(reader, digest)["digest"] == digest


def test_a_tag_is_its_owners(images: Images, alice: Headers, bob: Headers, admin: Any) -> None:
    digest = images.publish(alice, b"tagged")
    assert images.tag(alice, "~/tool/1", digest).json()["owner"] == "north.alice"
    assert images.tag(bob, "north.alice/tool/1", digest).status_code == 403
    assert images.tag(bob, "north/tool/1", digest).status_code == 403
    assert images.tag(admin("south"), "north/tool/1", digest).status_code == 403
    assert images.tag(admin("north"), "north/tool/1", digest).status_code == 200
    assert images.record(bob, digest)["tags"] == ["fallow://north/tool:1", "fallow://north.alice/tool:1"]
    assert images.client.delete("/v1/tags/north/tool/1", headers=bob).status_code == 403
    assert images.client.delete("/v1/tags/~/tool/1", headers=alice).status_code == 200
    assert images.client.get("/v1/tags/north.alice/tool/1", headers=bob).status_code == 404


def test_a_tag_moves_on_purpose_only(images: Images, alice: Headers) -> None:
    first, second = images.publish(alice, b"one"), images.publish(alice, b"two")
    images.tag(alice, "~/moving/1", first)
    refused = images.tag(alice, "~/moving/1", second)
    assert (refused.status_code, first in refused.json()["error_description"]) == (409, True)
    assert images.tag(alice, "~/moving/1", first).status_code == 200
    assert images.tag(alice, "~/moving/1", second, move=True).json()["digest"] == second
    assert images.client.get("/v1/tags/~/moving/1", headers=alice).json()["digest"] == second


@pytest.mark.parametrize(
    "name", ["~/UPPER/1", "~/x/..", "north.alice.x/a/1", "~/x/a b", "~/%2e%2e/1", "-x/a/1"]
)
def test_a_name_is_checked(images: Images, alice: Headers, name: str) -> None:
    assert images.tag(alice, name, f"sha256:{'a' * 64}").status_code in (404, 422)


def test_a_tag_means_one_image_for_each_architecture(images: Images, alice: Headers, bob: Headers) -> None:
    usual = images.publish(alice, b"for x86", architecture="x86_64")
    arm = images.publish(alice, b"for arm", architecture="aarch64")
    other = images.publish(alice, b"for arm too", architecture="aarch64")
    assert images.tag(alice, "~/both/1", arm).json()["architecture"] == "aarch64"
    tag = "/v1/tags/north.alice/both/1"
    assert images.client.get(tag, headers=bob).json()["digest"] == arm, "there is no other"
    assert images.tag(alice, "~/both/1", usual).json()["architecture"] == "x86_64"
    found = {
        word: images.client.get(f"{tag}{word}", headers=bob).json() for word in ("", "@x86_64", "@aarch64")
    }
    assert {word: said["digest"] for word, said in found.items()} == {
        "": usual,
        "@x86_64": usual,
        "@aarch64": arm,
    }
    assert images.tag(alice, "~/both/1", other).status_code == 409
    assert images.tag(alice, "~/both/1", other, move=True).json()["tag"] == "1"
    assert images.record(bob, other)["tags"] == ["fallow://north.alice/both:1@aarch64"]
    wrong = images.tag(alice, "~/both/1@aarch64", usual)
    assert (wrong.status_code, "is for x86_64, not for aarch64" in wrong.text) == (409, True)
    assert images.client.get(f"{tag}@ppc64le", headers=bob).status_code == 404
    assert images.client.delete(f"{tag}@aarch64", headers=alice).status_code == 200
    assert images.client.get(tag, headers=bob).json()["digest"] == usual
    images.tag(alice, "~/both/1", other)
    assert images.client.delete(tag, headers=alice).status_code == 200
    assert images.client.get(f"{tag}@aarch64", headers=bob).status_code == 404, "a tag goes with all it means"


def test_a_tag_of_an_image_that_is_not_there_is_refused(images: Images, alice: Headers) -> None:
    assert images.tag(alice, "~/x/1", f"sha256:{'a' * 64}").status_code == 404


def test_an_image_goes_with_its_last_publisher(
    images: Images, alice: Headers, bob: Headers, objects: Any, idle: list[str]
) -> None:
    digest = images.publish(alice, b"going")
    images.client.post(f"/v1/images/{digest}", headers=bob, json={})
    images.tag(alice, "~/going/1", digest)
    where = f"/v1/images/{digest}"
    assert images.client.delete(where, headers=bob).json() == {"removed": False}
    assert images.client.delete(where, headers=bob).status_code == 404
    assert images.client.delete(where, headers=alice).status_code == 409
    images.client.delete("/v1/tags/~/going/1", headers=alice)
    assert images.client.delete(where, headers=alice).json() == {"removed": True}
    assert images.client.get(where, headers=alice).status_code == 404
    assert digest.replace(":", "-") in idle[-1]


def test_an_image_that_jobs_need_stays(
    images: Images, alice: Headers, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = images.publish(alice, b"needed")
    monkeypatch.setattr(services.pool, "jobs", lambda *_: [{"ClusterId": 1}])
    refused = images.client.delete(f"/v1/images/{digest}", headers=alice)
    assert refused.status_code == 409
    assert "Jobs in the queue need the image." in refused.json()["error_description"]


def test_launchers_learn_which_images_jobs_wait_for(
    images: Images, alice: Headers, launcher: Headers, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = images.publish(alice, b"queued", architecture="aarch64")
    ad = {"ContainerImage": f"/fallow/images/{digest.replace(':', '-')}.sif", "FallowUserCentre": "north"}
    gone = {"ContainerImage": f"/fallow/images/sha256-{'b' * 64}.sif"}
    monkeypatch.setattr(services.pool, "jobs", lambda *_: [ad, ad, gone])
    found = images.client.get("/v1/queued-images", headers=launcher).json()["images"]
    wanted = {"digest": digest, "jobs": 2, "bytes": 6, "centre": "north", "work_type": "", "project": ""}
    assert found == [{**wanted, "architecture": "aarch64"}]


def test_further_images_of_a_job_are_needed_too_and_nonsense_is_not() -> None:
    first, second = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
    ads = [
        {"ContainerImage": f"/fallow/images/{first.replace(':', '-')}.sif", "FallowImages": second},
        {"ContainerImage": f"/fallow/images/{second.replace(':', '-')}.sif", "FallowImages": second},
        {"ContainerImage": "/etc/passwd", "FallowImages": "x y"},
        {},
    ]
    assert needs(ads) == [(Need(second, "", "", ""), 2), (Need(first, "", "", ""), 1)]


def test_the_queue_is_asked_once_for_many_launchers() -> None:
    asked: list[int] = []

    def ads() -> list[Any]:
        asked.append(1)
        if len(asked) == 2:
            raise NotAvailableError("The queue does not answer.")
        return []

    now = [0.0]
    found = Needs(ads, lambda: now[0])
    found.now()
    found.now()
    assert len(asked) == 1
    now[0] += 60
    with pytest.raises(NotAvailableError):
        found.now()
    assert found.now() == []

"""Storage on a real S3 server with a real STS: access to one user's bucket only, images once."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from botocore.exceptions import ClientError
from fastapi.testclient import TestClient
from tests.matcher.gateway.store import connect

from fallow_matcher.gateway import s3
from fallow_matcher.settings import HubSettings

DIGEST = "sha256:" + "c" * 64


@pytest.fixture
def settings(settings: HubSettings, endpoint: str) -> HubSettings:
    return settings.model_copy(update={"storage": settings.storage.model_copy(update={"endpoint": endpoint})})


@pytest.fixture
def given(client: TestClient, alice: dict[str, str]) -> dict[str, Any]:
    answer = client.post("/v1/storage", headers=alice)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def client_of(given: dict[str, Any], service: str = "s3") -> Any:
    return connect(
        service, given["endpoint"], given["access_key"], given["secret_key"], given["session_token"]
    )


def denied(call: Any, **arguments: Any) -> bool:
    try:
        call(**arguments)
    except ClientError as error:
        return bool(error.response["ResponseMetadata"]["HTTPStatusCode"] == 403)
    return False


def test_a_user_may_use_its_own_folder(given: dict[str, Any]) -> None:
    mine = client_of(given)
    place = {"Bucket": given["bucket"], "Key": given["prefix"] + "a/b"}
    mine.put_object(**place, Body=b"data")
    assert mine.get_object(**place)["Body"].read() == b"data"
    mine.head_bucket(Bucket=given["bucket"])
    mine.copy_object(Bucket=given["bucket"], Key=given["prefix"] + "c", CopySource=place)
    mine.delete_object(**place)


def test_a_user_may_touch_nothing_of_others(
    given: dict[str, Any], client: TestClient, tokens: Any, objects: Any
) -> None:
    bob = tokens.make("bob", groups=("/fallow/south",))
    theirs = client.post("/v1/storage", headers={"Authorization": f"Bearer {bob}"}).json()
    secret = {"Bucket": theirs["bucket"], "Key": "data/secret"}
    objects.put_object(**secret, Body=b"secret")
    mine = client_of(given)
    assert denied(mine.get_object, **secret)
    assert denied(mine.put_object, **secret, Body=b"")
    assert denied(mine.delete_object, **secret)
    assert denied(mine.list_objects_v2, Bucket=theirs["bucket"])
    assert denied(mine.copy_object, Bucket=given["bucket"], Key="data/stolen", CopySource=secret)
    assert denied(mine.get_object, Bucket="fallow", Key="ready")
    assert denied(mine.list_objects_v2, Bucket="fallow")


def test_a_user_may_neither_remove_the_bucket_nor_open_it_to_others(given: dict[str, Any]) -> None:
    mine, bucket = client_of(given), given["bucket"]
    assert denied(mine.delete_bucket, Bucket=bucket)
    assert denied(mine.delete_object, Bucket=bucket, Key=s3.MARKER)
    assert denied(mine.put_bucket_policy, Bucket=bucket, Policy="{}")
    assert denied(mine.put_bucket_acl, Bucket=bucket, ACL="public-read")
    assert denied(mine.create_bucket, Bucket="fallow-another")


def test_a_users_access_cannot_be_turned_into_wider_access(given: dict[str, Any]) -> None:
    sts = client_of(given, "sts")
    role = "arn:aws:iam::role/fallow-user"
    assert denied(sts.assume_role, RoleArn=role, RoleSessionName="alice")
    assert denied(sts.get_federation_token, Name="alice")


def test_narrowed_access_ends_at_its_folder(client: TestClient, alice: dict[str, str]) -> None:
    run = client.post("/v1/storage", headers=alice, json={"prefix": "run-1/"}).json()
    mine = client_of(run)
    mine.put_object(Bucket=run["bucket"], Key="data/run-1/x", Body=b"")
    assert denied(mine.put_object, Bucket=run["bucket"], Key="data/run-2/x", Body=b"")
    assert denied(mine.put_object, Bucket=run["bucket"], Key="data/run-1", Body=b"")


def test_a_users_access_is_to_a_bucket_of_its_own(client: TestClient, alice: dict[str, str]) -> None:
    given = client.post("/v1/storage", headers=alice).json()
    assert given["bucket"] == s3.user_bucket("fallow", "north.alice")
    assert given["prefix"] == "data/"
    assert given["session_token"]


def test_access_can_be_narrowed_below_ones_own_folder(client: TestClient, alice: dict[str, str]) -> None:
    given = client.post("/v1/storage", headers=alice, json={"prefix": "run-1/"}).json()
    assert given["prefix"] == "data/run-1/"


@pytest.mark.parametrize("prefix", ["../", "run", "/", "a/../../b/", "*/", "a?/", "${aws:userid}/", "a\n/"])
def test_a_prefix_that_could_be_a_pattern_or_lead_out_is_refused(
    client: TestClient, alice: dict[str, str], prefix: str
) -> None:
    answer = client.post("/v1/storage", headers=alice, json={"prefix": prefix})
    assert answer.status_code == 422
    assert "body.prefix" in answer.json()["error_description"]


def test_a_users_bucket_is_never_empty(client: TestClient, alice: dict[str, str], objects: Any) -> None:
    bucket = client.post("/v1/storage", headers=alice).json()["bucket"]
    listed = objects.list_objects_v2(Bucket=bucket)["Contents"]
    assert s3.MARKER in [item["Key"] for item in listed]


def test_the_session_policy_names_one_bucket_and_one_folder() -> None:
    statements = json.loads(s3.session_policy("fallow-alice-1", "data/"))["Statement"]
    assert [statement["Resource"] for statement in statements] == [
        ["arn:aws:s3:::fallow-alice-1/data/*"],
        ["arn:aws:s3:::fallow-alice-1"],
    ]
    assert not any("*" in action for statement in statements for action in statement["Action"])


def test_an_image_that_is_not_there_is_404(client: TestClient, alice: dict[str, str], objects: Any) -> None:
    assert client.get(f"/v1/images/sha256:{'d' * 64}", headers=alice).status_code == 404


def test_an_image_is_uploaded_once(client: TestClient, alice: dict[str, str], objects: Any) -> None:
    first = client.put(f"/v1/images/{DIGEST}", headers=alice)
    assert first.status_code == 200
    assert urlsplit(first.json()["url"]).path == f"/fallow/images/sha256-{'c' * 64}.sif"
    objects.put_object(Bucket="fallow", Key=s3.image_key(DIGEST), Body=b"image")
    second = client.put(f"/v1/images/{DIGEST}", headers=alice)
    assert (second.status_code, second.json()["error"]) == (409, "exists")
    objects.delete_object(Bucket="fallow", Key=s3.image_key(DIGEST))


def test_an_image_that_was_stored_meanwhile_is_not_replaced(
    client: TestClient, alice: dict[str, str], objects: Any
) -> None:
    digest = "sha256:" + hashlib.sha256(b"mine").hexdigest()
    url = client.put(f"/v1/images/{digest}", headers=alice).json()["url"]
    once = {"If-None-Match": "*", "x-amz-checksum-sha256": s3.checksum(digest)}
    assert requests.put(url, data=b"mine", timeout=10).status_code == 403
    assert requests.put(url, data=b"mine", headers=once, timeout=10).status_code == 200
    assert requests.put(url, data=b"mine", headers=once, timeout=10).status_code == 412
    assert objects.get_object(Bucket="fallow", Key=s3.image_key(digest))["Body"].read() == b"mine"


def test_an_image_url_is_short_lived_and_comes_with_the_size(
    client: TestClient, launcher: dict[str, str], objects: Any
) -> None:
    objects.put_object(Bucket="fallow", Key=s3.image_key(DIGEST), Body=b"image")
    given = client.get(f"/v1/images/{DIGEST}", headers=launcher).json()
    assert given["bytes"] == 5
    assert parse_qs(urlsplit(given["url"]).query)["X-Amz-Expires"] == ["900"]
    objects.delete_object(Bucket="fallow", Key=s3.image_key(DIGEST))


@pytest.mark.parametrize("digest", ["sha256:zz", "sha256-" + "a" * 64, "..%2F..%2Fetc", "sha256:" + "A" * 64])
def test_what_is_no_digest_is_refused(client: TestClient, alice: dict[str, str], digest: str) -> None:
    assert client.get(f"/v1/images/{digest}", headers=alice).status_code in (404, 422)

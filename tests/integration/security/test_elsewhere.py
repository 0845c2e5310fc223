"""A token is good where it is meant to be used, as far as it says, until it ends, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from fallow.client import connect
from fallow_testbed import hub, s3


def ca() -> str:
    return str(Path(os.environ["HOME"]) / "ca.pem")


def client(access_key: str, secret_key: str, session_token: str | None) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=s3.ENDPOINT,
        region_name="us-east-1",
        verify=ca(),
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        aws_session_token=session_token,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )


def status(call: Callable[[], Any]) -> int:
    """The HTTP status of an S3 call."""
    try:
        return int(call()["ResponseMetadata"]["HTTPStatusCode"])
    except ClientError as error:
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"])


def at_the_store(tokens: list[str]) -> dict[str, set[int]]:
    """What the store answers to tokens that are the hub's; called at the desk."""
    bucket = connect().storage().bucket
    found: dict[str, set[int]] = {"bearer": set(), "keys": set(), "sts": set()}
    for token in tokens:
        for path in ("", bucket, s3.BUCKET, f"{s3.BUCKET}/images/x"):
            headers = {"Authorization": f"Bearer {token}"}
            answer = requests.get(f"{s3.ENDPOINT}/{path}", headers=headers, verify=ca(), timeout=20)
            found["bearer"].add(answer.status_code)
        mine = client(token[:20], token, token)
        found["keys"].add(status(partial(mine.list_objects_v2, Bucket=bucket)))
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": "arn:aws:iam::role/fallow-user",
            "RoleSessionName": "x",
            "WebIdentityToken": token,
        }
        found["sts"].add(requests.post(s3.ENDPOINT, data=form, verify=ca(), timeout=20).status_code)
    return found


def test_the_hubs_tokens_are_useless_at_the_store(
    at: Callable[..., Any], wlcg: Callable[..., str], condor_token: Callable[..., str]
) -> None:
    tokens = [wlcg("alice"), condor_token("alice"), condor_token("launcher-cedar")]
    for way, answers in at("alice", at_the_store, tokens).items():
        assert all(400 <= code < 500 for code in answers), (way, answers)


def at_the_gateway(tokens: list[str]) -> list[dict[str, int]]:
    """What each call of the gateway answers to a bearer; called at the desk."""
    found = []
    for token in tokens:
        headers = {"Authorization": f"Bearer {token}"}
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }
        calls = {
            "token": requests.post(f"{hub.GATEWAY_URL}/v1/token", data=form, verify=ca(), timeout=20),
            "storage": requests.post(
                f"{hub.GATEWAY_URL}/v1/storage", headers=headers, verify=ca(), timeout=20
            ),
            "image": requests.get(
                f"{hub.GATEWAY_URL}/v1/images/sha256:{64 * '0'}", headers=headers, verify=ca(), timeout=20
            ),
        }
        found.append({name: answer.status_code for name, answer in calls.items()})
    return found


def keys_of_the_store() -> list[str]:
    """Everything that the store's credentials consist of; called at the desk."""
    access = connect().storage()
    return [access.session_token, access.access_key, access.secret_key]


def test_the_stores_credentials_are_useless_at_the_gateway(at: Callable[..., Any]) -> None:
    for answers in at("alice", at_the_gateway, at("alice", keys_of_the_store)):
        assert set(answers.values()) == {401}


@pytest.mark.parametrize(
    "audience", [s3.ENDPOINT, "https://hub", "https://hub:8443/", "https://HUB:8443", "condor://hub:9618"]
)
def test_a_token_for_another_audience_is_refused(
    at: Callable[..., Any], wlcg: Callable[..., str], audience: str
) -> None:
    (answers,) = at("alice", at_the_gateway, [wlcg("alice", audience)])
    assert set(answers.values()) == {401}


def test_an_htcondor_token_of_a_user_opens_nothing_at_the_gateway(
    at: Callable[..., Any], condor_token: Callable[..., str]
) -> None:
    (answers,) = at("alice", at_the_gateway, [condor_token("alice")])
    assert set(answers.values()) == {401}


def test_a_token_that_only_reads_neither_submits_nor_stores(
    at: Callable[..., Any],
    wlcg: Callable[..., str],
    attacker: Callable[..., Any],
    condor_token: Callable[..., str],
) -> None:
    (answers,) = at("alice", at_the_gateway, [wlcg("alice", scope="compute.read wlcg.groups")])
    assert answers == {"token": 200, "storage": 403, "image": 404}
    reader = attacker(condor_token("alice", scope="condor:/READ"))
    assert reader.run("condor_rm", "-name", "queue@hub", "-all").returncode != 0


def others_areas() -> dict[str, int]:
    """What alice's own credentials open; called at the desk."""
    access = connect().storage()
    mine = client(access.access_key, access.secret_key, access.session_token)
    bobs = access.bucket.replace("alder", "birch").replace("alice", "bob")
    tampered = client(access.access_key, access.secret_key, access.session_token[:-8] + "AAAAAAAA")
    anybody = boto3.client(
        "s3", endpoint_url=s3.ENDPOINT, region_name="us-east-1", verify=ca(),
        config=Config(signature_version=UNSIGNED, s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )  # fmt: skip
    key = f"{access.prefix}probe"
    return {
        "write one's own": status(lambda: mine.put_object(Bucket=access.bucket, Key=key, Body=b"x")),
        "read one's own": status(lambda: mine.get_object(Bucket=access.bucket, Key=key)),
        "list another's": status(lambda: mine.list_objects_v2(Bucket=bobs)),
        "read another's": status(lambda: mine.get_object(Bucket=bobs, Key="x")),
        "write another's": status(lambda: mine.put_object(Bucket=bobs, Key="x", Body=b"x")),
        "list the images": status(lambda: mine.list_objects_v2(Bucket=s3.BUCKET)),
        "write an image": status(lambda: mine.put_object(Bucket=s3.BUCKET, Key="images/x", Body=b"x")),
        "see another's": 200 if bobs in [each["Name"] for each in mine.list_buckets()["Buckets"]] else 403,
        "make a bucket": status(lambda: mine.create_bucket(Bucket="fallow-evil")),
        "remove one's bucket": status(lambda: mine.delete_bucket(Bucket=access.bucket)),
        "with a changed token": status(lambda: tampered.get_object(Bucket=access.bucket, Key=key)),
        "with nothing": status(lambda: anybody.get_object(Bucket=access.bucket, Key=key)),
        "remove one's own": status(lambda: mine.delete_object(Bucket=access.bucket, Key=key)),
    }


def test_the_stores_credentials_open_ones_own_area_only(at: Callable[..., Any]) -> None:
    at("bob", keys_of_the_store)  # so that bob has an area
    answers = at("alice", others_areas)
    own = {name: code for name, code in answers.items() if "one's own" in name}
    assert set(own.values()) <= {200, 204}
    refused = {name: code for name, code in answers.items() if name not in own}
    assert {name: code for name, code in refused.items() if code not in (401, 403)} == {}

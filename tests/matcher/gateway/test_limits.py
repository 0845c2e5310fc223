"""Too much is answered with 413 and 429, and every answer can be found again in the log."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fallow_matcher.gateway.app import create_app
from fallow_matcher.gateway.services import build
from fallow_matcher.settings import HubSettings

OpenClient = Callable[..., TestClient]


@pytest.fixture
def limited(configured: HubSettings, tokens: Any) -> Iterator[OpenClient]:
    opened = []

    def open_client(**limits: int) -> TestClient:
        settings = configured.model_copy(update={"limits": configured.limits.model_copy(update=limits)})
        services = build(settings, validate=tokens.validate)
        opened.append(services)
        return TestClient(create_app(services))

    yield open_client
    for services in opened:
        services.close()


def test_a_large_body_is_refused(limited: OpenClient) -> None:
    answer = limited(body_bytes=1024).post("/v1/token", content=b"x" * 1025)
    assert (answer.status_code, answer.json()["error"]) == (413, "too_large")


def test_a_large_body_that_does_not_say_so_is_refused(limited: OpenClient) -> None:
    def chunks() -> Iterator[bytes]:
        yield from (b"x" * 512 for _ in range(3))

    assert limited(body_bytes=1024).post("/v1/token", content=chunks()).status_code == 413


def test_one_address_may_not_ask_too_often(limited: OpenClient) -> None:
    client = limited(per_address_per_minute=2)
    statuses = [client.get("/healthz").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_a_refusal_for_haste_says_when_to_come_again(limited: OpenClient) -> None:
    began = time.monotonic()
    client = limited(per_address_per_minute=1)
    client.get("/healthz")
    answer = client.get("/healthz")
    passed_s = time.monotonic() - began
    assert answer.json() == {
        "error": "too_many_requests",
        "error_description": "More than 1 requests a minute.",
    }
    assert 60 - passed_s <= int(answer.headers["retry-after"]) <= 60


def test_one_identity_may_not_ask_too_often_whatever_its_token(limited: OpenClient, tokens: Any) -> None:
    client = limited(per_identity_per_minute=2)

    def ask(sub: str) -> int:
        token = tokens.make(sub, scope="compute.read", groups=("/fallow/north",))
        answer = client.post("/v1/storage", headers={"Authorization": f"Bearer {token}"})
        return int(answer.status_code)

    assert [ask("alice"), ask("alice"), ask("alice"), ask("bob")] == [403, 403, 429, 403]


def test_every_answer_has_a_request_id_of_its_own(client: TestClient) -> None:
    answers = [client.get("/healthz"), client.get("/nowhere"), client.post("/v1/token")]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3


def test_the_audit_log_says_who_got_what_until_when_and_holds_no_token(
    exchange: Any, tokens: Any, configured: HubSettings
) -> None:
    token = tokens.make("alice", groups=("/fallow/north",))
    answer = exchange(token)
    path = configured.state_dir / "gateway" / "audit.jsonl"
    text = path.read_text()
    (record,) = [json.loads(line) for line in text.splitlines()]
    assert record["request_id"] == answer.headers["x-request-id"]
    assert record["identity"] == "north.alice@fallow.example.org"
    assert record["scope"] == "condor:/READ condor:/WRITE"
    assert {"time", "event", "iss", "sub", "jti", "issued_jti", "exp", "centre"} <= set(record)
    assert token not in text
    assert answer.json()["access_token"] not in text
    assert answer.json()["access_token"].rpartition(".")[2] not in text
    assert path.stat().st_mode & 0o077 == 0


def test_a_refused_token_leaves_one_log_line_without_the_token(
    exchange: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="fallow_matcher"):
        exchange("secret.token.text")
    lines = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert lines == ["refused: invalid_token iss=- jti=-"]
    assert "secret.token.text" not in caplog.text

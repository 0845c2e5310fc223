"""The gateway's client, against servers that answer well, oddly or not at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from fallow.client import ClientSettings
from fallow.errors import NotAvailableError, SettingsError
from fallow.hub import HubClient, HubRefusedError, HubUnavailableError
from fallow.messages import SCOPE_USER
from fallow.offers import Offer, Shape
from fallow.web import MAX_BODY_BYTES, Web, pause_before_repeating

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OFFER = Offer(
    centre="alder",
    shapes=[Shape(cores=4, memory_mb=8000, disk_mb=1000, count=2, capabilities=["avx2"])],
    starts=NOW,
    expires=NOW + timedelta(hours=1),
)
FEDERATION = {
    "name": "demo",
    "trust_domain": "fallow.test",
    "collector": "hub:9618",
    "schedd": "hub",
    "s3_endpoint": "https://hub:8333",
    "issuers": [{"issuer": "https://issuer.test", "client_id": "fallow", "audience": "https://hub:8443"}],
    "centres": ["alder"],
}
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def hub(server: Any, pauses: list[float]) -> HubClient:
    settings = ClientSettings(hub=server.url, ca_file=server.ca_file)
    return HubClient(settings, token=lambda: "the.wlcg.token", web=Web(server.ca_file, sleep=pauses.append))


def test_the_federation_is_read_without_a_token(hub: HubClient, server: Any) -> None:
    server.says(200, {**FEDERATION, "of_a_later_version": 1})
    assert hub.federation().issuers[0].audience == "https://hub:8443"
    assert "authorization" not in server.asked[0].headers


def test_an_exchange_sends_the_token_in_the_body_only(hub: HubClient, server: Any) -> None:
    server.says(200, {"access_token": "condor.id.token", "expires_in": 600, "scope": SCOPE_USER})
    given = hub.exchange(SCOPE_USER)
    form = parse_qs(server.asked[0].body.decode())
    assert given.token == "condor.id.token"
    assert timedelta(0) < given.expires - datetime.now(UTC) <= timedelta(seconds=600)
    assert form["subject_token"] == ["the.wlcg.token"]
    assert form["scope"] == [SCOPE_USER]
    assert "authorization" not in server.asked[0].headers


def test_no_token_shows_in_a_repr(hub: HubClient, server: Any) -> None:
    server.says(200, {"access_token": "condor.id.token", "expires_in": 600, "scope": SCOPE_USER})
    assert "condor.id.token" not in repr(hub.exchange(SCOPE_USER))


def test_an_offer_is_put_under_its_centre_and_comes_back_the_same(hub: HubClient, server: Any) -> None:
    server.says(204, b"")
    hub.publish_offer("alder", OFFER)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("PUT", "/v1/offers/alder")
    assert asked.headers["authorization"] == "Bearer the.wlcg.token"
    assert Offer.model_validate_json(asked.body) == OFFER


def test_a_centre_cannot_lead_to_another_path(hub: HubClient, server: Any) -> None:
    server.says(204, b"")
    hub.publish_offer("../token?x", OFFER)
    assert server.asked[0].path == "/v1/offers/..%2Ftoken%3Fx"


def test_offers_are_typed(hub: HubClient, server: Any) -> None:
    server.says(200, {"offers": [OFFER.model_dump(mode="json")]})
    assert hub.offers() == [OFFER]


def test_storage_access_hides_its_secrets_in_a_repr(hub: HubClient, server: Any) -> None:
    access = {"endpoint": "https://s3", "region": "r", "bucket": "b", "prefix": "alice/"}
    server.says(200, {**access, "access_key": "AK", "secret_key": "SK", "expires": "2026-01-01T00:00:00Z"})
    given = hub.storage()
    assert given.secret_key == "SK"
    assert "SK" not in repr(given)


def test_an_image_that_the_hub_lacks_has_no_url(hub: HubClient, server: Any) -> None:
    server.says(404, {"error": "not_found"})
    assert hub.image_url(DIGEST) is None


def test_an_image_that_the_hub_has_needs_no_upload(hub: HubClient, server: Any) -> None:
    server.says(409, {"error": "exists"})
    assert hub.image_upload(DIGEST) is None


def test_an_image_url_is_asked_for_by_digest(hub: HubClient, server: Any) -> None:
    server.says(200, {"url": "https://s3/signed", "bytes": 5})
    found = hub.image_url(DIGEST)
    assert found is not None
    assert found.bytes == 5
    assert server.asked[0].path == f"/v1/images/{DIGEST}"


def test_a_refusal_carries_the_hubs_code_and_sentence_and_is_not_repeated(
    hub: HubClient, server: Any
) -> None:
    server.says(403, {"error": "insufficient_scope", "error_description": "compute.create is missing."})
    with pytest.raises(HubRefusedError, match=r"refused: compute\.create is missing\.$") as caught:
        hub.storage()
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (
        403,
        "insufficient_scope",
        False,
    )
    assert len(server.asked) == 1


def test_a_refused_token_leads_to_login(hub: HubClient, server: Any) -> None:
    server.says(401, {"error": "token_expired"})
    with pytest.raises(HubRefusedError, match="fallow login"):
        hub.exchange(SCOPE_USER)


def test_what_a_hub_says_cannot_steer_the_terminal(hub: HubClient, server: Any) -> None:
    server.says(
        403, {"error": "forbidden", "error_description": "\x1b[2Jgone\r\nfallow: all is well" + "x" * 999}
    )
    with pytest.raises(HubRefusedError) as caught:
        hub.offers()
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_too_many_requests_waits_as_asked_and_tries_again(
    hub: HubClient, server: Any, pauses: list[float]
) -> None:
    server.says(429, {"error": "slow"}, Retry_After="7")
    server.says(200, FEDERATION)
    assert hub.federation().name == "demo"
    assert pauses == [7.0]


def test_a_wait_that_is_too_long_is_left_to_the_caller(
    hub: HubClient, server: Any, pauses: list[float]
) -> None:
    server.says(429, {"error": "slow"}, Retry_After="3600")
    with pytest.raises(HubUnavailableError) as caught:
        hub.federation()
    assert (caught.value.retry_after_s, caught.value.retryable, pauses) == (3600.0, True, [])


def test_a_service_that_stays_away_is_tried_a_bounded_number_of_times(
    hub: HubClient, server: Any, pauses: list[float]
) -> None:
    server.says(503, b"<html>down</html>")
    with pytest.raises(HubUnavailableError, match="status 503 without an explanation"):
        hub.offers()
    assert len(server.asked) == 4
    assert len(pauses) == 3


def test_a_nonsensical_retry_after_is_ignored(hub: HubClient, server: Any, pauses: list[float]) -> None:
    server.says(503, {"error": "x"}, Retry_After="soon; \x80")
    server.says(200, FEDERATION)
    hub.federation()
    assert 0 < pauses[0] < 1


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]", b'{"offers": 1}', b"[" * 100_000, b"\xff\xfe"])
def test_an_answer_that_makes_no_sense_is_an_error_of_ours(hub: HubClient, server: Any, body: bytes) -> None:
    server.says(200, body)
    with pytest.raises(HubUnavailableError) as caught:
        hub.offers()
    assert caught.value.retryable is False


def test_a_huge_answer_is_not_read_to_its_end(hub: HubClient, server: Any) -> None:
    server.says(200, b"x" * (MAX_BODY_BYTES + 1))
    with pytest.raises(NotAvailableError, match="more than"):
        hub.offers()


def test_an_answer_that_breaks_off_is_tried_again(hub: HubClient, server: Any) -> None:
    server.says(200, b"{", Content_Length="1000")
    server.says(200, FEDERATION)
    assert hub.federation().name == "demo"


def test_a_redirect_is_not_followed(hub: HubClient, server: Any) -> None:
    server.says(302, b"", Location="https://elsewhere.test/")
    with pytest.raises(HubUnavailableError, match="status 302"):
        hub.storage()
    assert len(server.asked) == 1


def test_a_hub_that_is_away_is_named_in_one_sentence(server: Any, pauses: list[float]) -> None:
    web = Web(server.ca_file, sleep=pauses.append)
    settings = ClientSettings(hub="https://127.0.0.1:1", ca_file=server.ca_file)
    with pytest.raises(
        NotAvailableError, match=r"https://127\.0\.0\.1:1/v1/offers does not answer: .*refused"
    ) as caught:
        HubClient(settings, token=str, web=web).offers()
    assert "Pool" not in str(caught.value)
    assert len(pauses) == 3


def test_a_certificate_by_an_unknown_authority_is_refused_at_once(server: Any, pauses: list[float]) -> None:
    server.says(200, FEDERATION)
    web = Web(None, sleep=pauses.append)
    with pytest.raises(NotAvailableError, match=r"certificate of .* was not accepted.*ca_file"):
        HubClient(ClientSettings(hub=server.url), token=str, web=web).federation()
    assert (server.asked, pauses) == ([], [])


def test_a_certificate_for_another_host_is_refused(serve: Callable[..., Any]) -> None:
    other = serve("elsewhere.test")
    other.says(200, FEDERATION)
    settings = ClientSettings(hub=other.url, ca_file=other.ca_file)
    with pytest.raises(NotAvailableError, match="certificate"):
        HubClient(settings, token=str).federation()
    assert other.asked == []


def test_the_environment_cannot_replace_the_authority(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    server.says(200, FEDERATION)
    settings = ClientSettings(hub=server.url, ca_file=server.ca_file)
    assert HubClient(settings, token=str).federation().name == "demo"


def test_a_netrc_file_adds_no_credentials(server: Any, home: Path) -> None:
    (home / ".netrc").write_text("machine 127.0.0.1 login eve password eve\n")
    (home / ".netrc").chmod(0o600)
    server.says(200, FEDERATION)
    HubClient(ClientSettings(hub=server.url, ca_file=server.ca_file), token=str).federation()
    assert "authorization" not in server.asked[0].headers


def test_an_authority_file_that_is_missing_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="certificate authorities"):
        Web(tmp_path / "missing.pem")


def test_pauses_grow_and_end() -> None:
    assert [pause_before_repeating(attempt, None, 0.5) for attempt in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, None]


def two_hubs(server: Any, first: str, pauses: list[float]) -> HubClient:
    settings = ClientSettings(hub=first, other_hub=server.url, ca_file=server.ca_file)
    return HubClient(settings, token=lambda: "the.wlcg.token", web=Web(server.ca_file, sleep=pauses.append))


def test_where_a_hub_does_not_answer_the_other_one_is_asked_at_once(server: Any, pauses: list[float]) -> None:
    server.says(200, FEDERATION)
    client = two_hubs(server, "https://127.0.0.1:1", pauses)
    assert [client.federation().name for _ in range(2)] == ["demo", "demo"]
    assert (len(server.asked), pauses) == (2, [])


def test_where_a_hub_says_later_the_other_one_is_asked_at_once(server: Any, pauses: list[float]) -> None:
    server.says(503, {"error": "temporarily_unavailable"})
    server.says(200, FEDERATION)
    assert two_hubs(server, server.url, pauses).federation().name == "demo"
    assert (len(server.asked), pauses) == (2, [])


def test_what_one_hub_refuses_is_not_asked_of_the_other(server: Any, pauses: list[float]) -> None:
    server.says(403, {"error": "insufficient_scope"})
    with pytest.raises(HubRefusedError):
        two_hubs(server, server.url, pauses).storage()
    assert len(server.asked) == 1


def test_two_hubs_that_stay_away_are_tried_a_bounded_number_of_times(
    server: Any, pauses: list[float]
) -> None:
    server.says(503, {"error": "temporarily_unavailable"})
    with pytest.raises(HubUnavailableError):
        two_hubs(server, server.url, pauses).offers()
    assert (len(server.asked), len(pauses)) == (6, 3)

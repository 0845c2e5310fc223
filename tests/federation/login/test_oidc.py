"""Issuers that answer oddly."""

from __future__ import annotations

from typing import Any

import pytest

from fallow.errors import NotAvailableError
from fallow.login.oidc import Metadata, Provider, discover, metadata_urls
from fallow.web import Web


@pytest.fixture
def provider(server: Any) -> Provider:
    where = {"token_endpoint": f"{server.url}/token", "device_authorization_endpoint": f"{server.url}/device"}
    return Provider(Web(server.ca_file), Metadata(issuer=server.url, **where), "fallow")


def test_metadata_lies_below_the_issuer_or_below_its_host() -> None:
    assert metadata_urls("https://iam.test/vo/") == [
        "https://iam.test/vo/.well-known/openid-configuration",
        "https://iam.test/.well-known/oauth-authorization-server/vo",
    ]


def test_an_issuer_with_rfc_8414_metadata_only_is_found(server: Any) -> None:
    server.says(404, {})
    server.says(200, {"issuer": server.url, "token_endpoint": f"{server.url}/token"})
    assert discover(Web(server.ca_file), server.url).token_endpoint == f"{server.url}/token"
    assert server.asked[1].path == "/.well-known/oauth-authorization-server"


def test_an_issuer_without_metadata_is_named(server: Any) -> None:
    server.says(404, {})
    with pytest.raises(NotAvailableError, match=r"offers no metadata \(status 404\)"):
        discover(Web(server.ca_file), server.url)


def test_an_endpoint_without_tls_is_refused(server: Any) -> None:
    server.says(200, {"issuer": server.url, "token_endpoint": "http://127.0.0.1/token"})
    with pytest.raises(NotAvailableError, match="lacks sense in: token_endpoint"):
        discover(Web(server.ca_file), server.url)


def test_an_issuer_without_a_device_flow_says_what_to_do_instead(server: Any) -> None:
    metadata = Metadata(issuer=server.url, token_endpoint=f"{server.url}/token")
    with pytest.raises(NotAvailableError, match=r"offers no device flow.*BEARER_TOKEN_FILE"):
        Provider(Web(server.ca_file), metadata, "fallow").start_device("openid", "a")


@pytest.mark.parametrize("code", ["\x1b[2J", "line\nbreak", "", "x" * 101])
def test_a_user_code_that_could_steer_the_terminal_is_refused(
    server: Any, provider: Provider, code: str
) -> None:
    server.says(
        200, {"device_code": "d", "user_code": code, "verification_uri": server.url, "expires_in": 60}
    )
    with pytest.raises(NotAvailableError, match="lacks sense in: user_code"):
        provider.start_device("openid", "a")


def test_a_token_of_another_kind_is_refused(server: Any, provider: Provider) -> None:
    server.says(200, {"access_token": "t", "token_type": "mac"})
    with pytest.raises(NotAvailableError, match="lacks sense in: token_type"):
        provider.refresh("r")


def test_a_refresh_is_never_repeated(server: Any, provider: Provider) -> None:
    server.says(503, b"")
    with pytest.raises(NotAvailableError) as caught:
        provider.refresh("r")
    assert caught.value.retryable is True
    assert len(server.asked) == 1


def test_an_issuer_without_revocation_is_not_asked(server: Any, provider: Provider) -> None:
    assert provider.revoke("r") is False
    assert server.asked == []

"""The centre of a bearer: from its issuer, by the hub's settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from fallow.settings import parse
from fallow.tokens import TokenError, TrustedIssuer, TrustedIssuers, centre_of

NOW = 1767225600
AUDIENCE = "https://storage.site.org"
URL = "https://vo.example.org"


def centre(new_party: Callable[..., Any], groups: list[str], **settings: Any) -> str:
    party = new_party(**settings)
    claims = {"wlcg.groups": groups, "scope": "compute.create", "centre": "forged", "fallow.centre": "forged"}
    return centre_of(party.validator.validate(party.token(**claims), AUDIENCE, NOW))


def test_an_issuer_of_one_centre_speaks_for_that_centre(new_party: Callable[..., Any]) -> None:
    assert centre(new_party, ["/fallow/beta"], centre="alpha") == "alpha"


def test_a_group_names_the_centre_also_beside_capabilities(new_party: Callable[..., Any]) -> None:
    assert centre(new_party, ["/vo", "/vo/lyon"], centre_groups={"/vo/lyon": "alpha"}) == "alpha"


def test_a_child_of_the_root_group_names_the_centre(new_party: Callable[..., Any]) -> None:
    assert centre(new_party, ["/fallow", "/fallow/alpha", "/other/beta"], centre_root="/fallow") == "alpha"


@pytest.mark.parametrize(
    "groups",
    [
        [],
        ["/fallow"],
        ["/fallow/alpha/sub"],
        ["/fallowed/alpha"],
        ["/fallow/Alpha"],
        ["/fallow/al_pha"],
        ["/x/fallow/a"],
    ],
)
def test_another_group_names_no_centre(new_party: Callable[..., Any], groups: list[str]) -> None:
    with pytest.raises(TokenError, match="no group that names a centre") as caught:
        centre(new_party, groups, centre_root="/fallow")
    assert (caught.value.code, caught.value.status) == ("forbidden", 403)


def test_an_issuer_without_a_mapping_gives_no_centre(new_party: Callable[..., Any]) -> None:
    with pytest.raises(TokenError, match="no group that names a centre"):
        centre(new_party, ["/fallow/alpha"])


def test_a_bearer_of_two_centres_must_say_which_by_its_token(new_party: Callable[..., Any]) -> None:
    with pytest.raises(TokenError, match="several centres: alpha, beta"):
        centre(new_party, ["/fallow/beta", "/fallow/alpha"], centre_root="/fallow")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "http://vo.example.org"}, "not https://"),
        ({"url": "http://127.0.0.1:8080"}, "not https://"),
        ({"url": "http://vo.example.org", "allow_loopback_http": True}, "not https://"),
        ({"url": "ftp://vo.example.org"}, "not an https:// URL"),
        ({"url": "vo.example.org"}, "not an https:// URL"),
        ({"url": "https://user@vo.example.org"}, "user, query or fragment"),
        ({"url": "https://vo.example.org?"}, "user, query or fragment"),
        ({"prefix": "vo"}, "not absolute"),
        ({"prefix": "/vo/../etc"}, "climbs"),
        ({"centre": "Alpha"}, "pattern"),
        ({"centre_groups": {"vo": "alpha"}}, "not a group's name"),
        ({"centre_groups": {"/vo": "a b"}}, "pattern"),
        ({"centre_root": "fallow"}, "not a group's name"),
        ({"centre": "alpha", "centre_root": "/fallow"}, "centre and centre_root both"),
        ({"group_policy": {"/vo": ["fly"]}}, "unknown operations: fly"),
        ({"jwks": "https://vo.example.org/jwks"}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrustedIssuer(**{"url": URL, **settings})


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:8080"])
def test_plain_http_is_for_this_machine_and_only_where_it_is_allowed(host: str) -> None:
    assert TrustedIssuer(url=f"http://{host}", allow_loopback_http=True).url == f"http://{host}"


def test_an_issuer_that_is_listed_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="listed more than once"):
        TrustedIssuers(issuers=[TrustedIssuer(url=URL), TrustedIssuer(url=URL, centre="alpha")])


def test_a_settings_file_may_list_several_issuers() -> None:
    policy = {"/vo": ["read", "stat"]}
    raw = {
        "issuers": [
            {"url": URL, "prefix": "/vo/", "group_policy": policy},
            {"url": URL + "/b", "centre": "beta"},
        ]
    }
    first, second = parse(TrustedIssuers, raw, source="issuers.toml").issuers
    assert (first.prefix, second.prefix, second.centre) == ("/vo", "/", "beta")

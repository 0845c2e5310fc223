"""What a hub refuses to start with: each message names the setting and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fallow.errors import SettingsError
from fallow.settings import parse
from fallow_matcher.settings import HubSettings, require_private

Raw = Callable[..., dict[str, Any]]


@pytest.fixture
def refusal(raw: Raw) -> Callable[..., str]:
    def load(**changes: Any) -> str:
        with pytest.raises(SettingsError) as caught:
            parse(HubSettings, raw(**changes), source="hub.toml")
        return str(caught.value)

    return load


def test_a_complete_file_is_accepted(raw: Raw) -> None:
    assert parse(HubSettings, raw(), source="hub.toml").centre_names == ["north", "south"]


def test_an_http_issuer_is_refused(refusal: Callable[..., str]) -> None:
    assert "https://" in refusal(issuers=[{"url": "http://iam.example.org"}])


def test_an_http_store_that_is_not_loopback_is_refused(refusal: Callable[..., str], raw: Raw) -> None:
    message = refusal(storage={**raw()["storage"], "endpoint": "http://s3.example.org"})
    assert "storage.endpoint" in message
    assert "use https" in message


def test_an_empty_audience_list_is_refused(refusal: Callable[..., str]) -> None:
    assert "audiences" in refusal(audiences=[])


def test_an_empty_audience_is_refused(refusal: Callable[..., str]) -> None:
    assert "a token for anybody would do" in refusal(audiences=[""])


def test_a_session_that_outlives_its_token_is_refused_with_both_values(refusal: Callable[..., str]) -> None:
    message = refusal(lives={"session_s": 4000, "user_token_s": 3600})
    assert "4000" in message
    assert "3600" in message
    assert "lower session_s" in message


@pytest.mark.parametrize("listen", ["0.0.0.0", "::"])
def test_listening_everywhere_is_refused(refusal: Callable[..., str], listen: str) -> None:
    assert "every interface" in refusal(listen=listen)


def test_a_launcher_of_an_issuer_that_is_not_trusted_is_refused(refusal: Callable[..., str]) -> None:
    centre = {"name": "north", "launcher_issuer": "https://evil.example.org", "launcher_sub": "x"}
    assert "https://evil.example.org" in refusal(centres=[centre])


def test_one_launcher_for_two_centres_is_refused(refusal: Callable[..., str]) -> None:
    centres = [
        {"name": name, "launcher_issuer": "https://iam.example.org", "launcher_sub": "one"}
        for name in ("north", "south")
    ]
    assert "give each its own" in refusal(centres=centres)


def test_a_trust_domain_that_would_be_a_pattern_is_refused(refusal: Callable[..., str]) -> None:
    assert "trust_domain" in refusal(trust_domain="*")


@pytest.mark.parametrize("name", ['n"orth', "no.rth", "north*", "north\nALLOW_WRITE = *", "NORTH"])
def test_a_centre_name_that_could_become_configuration_is_refused(
    refusal: Callable[..., str], name: str
) -> None:
    centre = {"name": name, "launcher_issuer": "https://iam.example.org", "launcher_sub": "x"}
    assert "centres.0.name" in refusal(centres=[centre])


@pytest.mark.parametrize("name", ["Example\nALLOW_WRITE = *", "", "a" * 101])
def test_a_federation_name_that_could_become_configuration_is_refused(
    refusal: Callable[..., str], name: str
) -> None:
    assert "name" in refusal(name=name)


PAIR = {"first": "hub.example.org", "second": "hub2.example.org"}


def test_two_hubs_need_a_database_that_both_reach(refusal: Callable[..., str]) -> None:
    assert "needs one of PostgreSQL" in refusal(pair=PAIR)


def test_two_hubs_are_two(refusal: Callable[..., str]) -> None:
    assert "name two hosts" in refusal(pair={"first": "hub.example.org", "second": "hub.example.org"})


def test_a_hub_that_is_neither_of_the_pair_is_refused(refusal: Callable[..., str]) -> None:
    assert "is neither of pair" in refusal(
        pair=PAIR, host="other.example.org", database="postgresql:///fallow"
    )


def test_a_secret_file_that_others_may_read_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("secret")
    path.chmod(0o640)
    with pytest.raises(SettingsError, match=f"chmod 600 {path}"):
        require_private(path, "tls_key")

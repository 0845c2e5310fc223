"""The client's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from fallow.client import client_settings
from fallow.errors import SettingsError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text('hub = "https://hub.example.org:8443/"\nca_file = "ca.pem"\n')
    return path


def test_the_file_says_where_the_hub_is_and_paths_are_relative_to_it(config: Path) -> None:
    settings = client_settings({"FALLOW_CONFIG": str(config)})
    assert settings.hub == "https://hub.example.org:8443"
    assert settings.ca_file == config.parent / "ca.pem"


def test_the_environment_wins_over_the_file(config: Path) -> None:
    settings = client_settings({"FALLOW_CONFIG": str(config), "FALLOW_HUB": "https://other:1"})
    assert settings.hub == "https://other:1"
    assert settings.ca_file == config.parent / "ca.pem"


def test_the_environment_alone_is_enough(home: Path) -> None:
    assert client_settings({"FALLOW_HUB": "https://other:1"}).ca_file is None


def test_a_federation_may_have_another_hub(config: Path) -> None:
    named = {"FALLOW_CONFIG": str(config), "FALLOW_OTHER_HUB": "https://other:1"}
    settings = client_settings(named)
    assert (settings.hub, settings.other_hub) == ("https://hub.example.org:8443", "https://other:1")


def test_without_a_hub_the_message_says_where_to_name_it(home: Path) -> None:
    with pytest.raises(SettingsError, match=r"No hub is named.*\.config/fallow/config\.toml.*FALLOW_HUB"):
        client_settings({})


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Cannot read"):
        client_settings({"FALLOW_CONFIG": str(tmp_path / "none.toml"), "FALLOW_HUB": "https://other:1"})


@pytest.mark.parametrize(
    "url", ["http://hub:8443", "hub:8443", "https://", "https://user@hub", "https://hub/?x"]
)
def test_a_hub_that_is_no_plain_https_url_is_refused(url: str, home: Path) -> None:
    with pytest.raises(SettingsError, match=r"FALLOW_HUB: hub: .*not of the form https://HOST"):
        client_settings({"FALLOW_HUB": url})

"""The terms of a relay: where it leads follows from what the hub says."""

from __future__ import annotations

from pathlib import Path

import pytest

from fallow.errors import NotAvailableError, SettingsError
from fallow.messages import Federation
from fallow_pilots.relay.terms import Target, places, read_terms, renew, targets_of

HERE = Target(host="localhost", port=8443, address="127.0.0.1", what="gateway")


def federation(**changed: str) -> Federation:
    said = {
        "collector": "hub.example.org:9618",
        "queue": "hub.example.org:9619",
        "s3_endpoint": "https://s3.example.org",
    }
    return Federation(name="f", trust_domain="f", schedd="q", issuers=[], centres=[], **{**said, **changed})


def test_the_relay_leads_to_gateway_collector_queue_and_store() -> None:
    found = places("https://hub.example.org:8443", federation())
    assert [(host, port) for host, port, _ in found] == [
        ("hub.example.org", 8443),
        ("hub.example.org", 9618),
        ("hub.example.org", 9619),
        ("s3.example.org", 443),
    ]


def test_the_policy_may_add_places_and_none_stands_twice() -> None:
    also = ["registry.example.org:443", "hub.example.org:8443"]
    found = places("https://hub.example.org:8443", federation(queue=""), also)
    assert [(host, port) for host, port, _ in found] == [
        ("hub.example.org", 8443),
        ("hub.example.org", 9618),
        ("s3.example.org", 443),
        ("registry.example.org", 443),
    ]


def test_a_name_that_is_not_known_here_is_named() -> None:
    with pytest.raises(NotAvailableError, match="no IPv4 address of nowhere"):
        targets_of([("nowhere.invalid", 1, "gateway")])
    assert targets_of([("localhost", 8443, "gateway")]) == [HERE]


def test_the_key_stays_when_the_terms_change(tmp_path: Path) -> None:
    path = tmp_path / "relay.json"
    renew(path, "login", 9620, [HERE])
    first = read_terms(path)
    renew(path, "login", 9621, [])
    second = read_terms(path)
    assert first is not None
    assert second is not None
    assert (first.key, first.port, second.port) == (second.key, 9620, 9621)
    assert first.key
    assert first.key not in repr(first)


def test_terms_that_others_could_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "relay.json"
    assert read_terms(path) is None
    path.write_text("{}")
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="mode 0644"):
        read_terms(path)
    path.chmod(0o600)
    assert read_terms(path) is None, "nonsense is no terms"

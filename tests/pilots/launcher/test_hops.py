"""What a centre's firewall has to let through."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fallow.messages import Federation
from fallow_pilots.hops import LOGIN, NODE, hops, picture
from fallow_pilots.policy import Policy

FEDERATION = Federation(
    name="test",
    trust_domain="t",
    collector="hub.example.org:9618",
    schedd="q",
    queue="hub.example.org:9619",
    s3_endpoint="https://s3.example.org",
    issuers=[],
    centres=["alder"],
)
Make = Callable[..., Policy]


def test_open_nodes_dial_the_hub_themselves(policy_of: Make) -> None:
    found = hops(policy_of(), FEDERATION, "login")
    assert [(hop.source, hop.host, hop.port) for hop in found] == [
        (LOGIN, "hub.example.org", 8443),
        (NODE, "hub.example.org", 8443),
        (NODE, "hub.example.org", 9618),
        (NODE, "hub.example.org", 9619),
        (NODE, "s3.example.org", 443),
    ]


@pytest.mark.parametrize(("named", "host"), [(None, "login"), ("10.1.0.1", "10.1.0.1")])
def test_closed_nodes_dial_the_relay_and_nothing_else(policy_of: Make, named: str | None, host: str) -> None:
    network = {"profile": "relay", "also": ["registry.example.org:443"], "relay_host": named}
    found = hops(policy_of(network=network), FEDERATION, "login")
    assert [(hop.host, hop.port) for hop in found if hop.source == NODE] == [(host, 9620)]
    assert [(hop.host, hop.port) for hop in found if hop.source == LOGIN] == [
        ("hub.example.org", 8443),
        ("hub.example.org", 9618),
        ("hub.example.org", 9619),
        ("s3.example.org", 443),
        ("registry.example.org", 443),
    ]


def test_a_hop_is_a_sentence_and_a_row(policy_of: Make) -> None:
    hop = hops(policy_of(), FEDERATION, "login")[-1]
    assert hop.sentence() == (
        "Allow TCP from the compute nodes to s3.example.org port 443 (S3 store; TLS): "
        "images, inputs and outputs of jobs."
    )
    assert hop.row()["sentence"] == hop.sentence()


def test_the_picture_has_an_arrow_for_each_host(policy_of: Make) -> None:
    drawn = picture(hops(policy_of(network={"profile": "relay"}), FEDERATION, "login"))
    assert drawn.splitlines() == [
        "[launcher's host] --- 8443, 9618, 9619 --> [hub.example.org]",
        "                  --- 443 --> [s3.example.org]",
        "[compute nodes] --- 9620 --> [login (launcher's host: relay)]",
    ]

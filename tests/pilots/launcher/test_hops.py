"""What a centre's firewall has to let through."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fallow.messages import Federation, HubPlace
from fallow_pilots.hops import ATTACHED, LOGIN, NODE, PROXY, hops, picture
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


TWO = [
    HubPlace(
        url=f"https://{host}:8443", collector=f"{host}:9618", schedd=f"queue@{host}", queue=f"{host}:9619"
    )
    for host in ("hub.example.org", "hub2.example.org")
]
"""The places of two hubs."""


def test_of_two_hubs_both_are_dialled(policy_of: Make) -> None:
    found = hops(policy_of(), FEDERATION.model_copy(update={"hubs": TWO}), "login")
    assert [(hop.source, hop.port) for hop in found if hop.host == "hub2.example.org"] == [
        (LOGIN, 8443),
        (NODE, 8443),
        (NODE, 9618),
        (NODE, 9619),
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


def test_nodes_that_leave_files_dial_nothing(policy_of: Make) -> None:
    policy = policy_of(network={"profile": "files", "files_dir": "/fast/carried"})
    found = hops(policy, FEDERATION, "login")
    assert {hop.source for hop in found} == {LOGIN}
    assert picture(found, policy.files_dir).splitlines()[-1] == (
        "[compute nodes] ... files in /fast/carried ... [launcher's host: relay]"
    )


def test_where_a_proxy_is_the_way_out_its_admin_is_told_what_to_allow(policy_of: Make) -> None:
    network = {"profile": "proxy", "proxy": "http://proxy.example.org:3128"}
    found = hops(policy_of(network=network), FEDERATION, "login")
    assert {(hop.source, hop.host) for hop in found if hop.source != PROXY} == {
        (LOGIN, "proxy.example.org"),
        (NODE, "proxy.example.org"),
    }
    assert found[-1].sentence() == (
        "Have the site's proxy allow CONNECT to s3.example.org port 443 (S3 store): images, inputs and outputs of jobs."
    )
    assert "[compute nodes] --- 3128 --> [proxy.example.org (site's proxy)]" in picture(found)


def test_a_relay_may_go_out_by_the_proxy(policy_of: Make) -> None:
    network = {"profile": "relay", "proxy": "http://proxy.example.org:3128"}
    found = hops(policy_of(network=network), FEDERATION, "login")
    assert [(hop.host, hop.port) for hop in found if hop.source == NODE] == [("login", 9620)]
    assert [hop.host for hop in found if hop.source == LOGIN] == ["proxy.example.org"]


def test_a_host_that_takes_ssh_only_dials_nothing(policy_of: Make) -> None:
    found = hops(policy_of(network={"profile": "relay", "attached": True}), FEDERATION, "login")
    assert {hop.source for hop in found} == {NODE, ATTACHED}
    assert picture(found).splitlines()[0] == "[attached machine] --- 22 --> [login (launcher's host)]"

"""Which lines of the policy follow from what a node found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fallow_pilots.nodefindings import Attributes
from fallow_pilots.policy import Policy
from fallow_pilots.proposal import Proposal, propose

Make = Callable[..., Policy]
OPEN: Attributes = {"FallowOutbound": True, "FallowEnclave": False}
CLOSED: Attributes = {"FallowOutbound": False, "FallowRelayReached": True, "FallowEnclave": True}


def profile(policy: Policy, found: Attributes) -> Proposal:
    return propose(policy, found, "login:9620")[0]


def test_open_nodes_need_no_relay(policy_of: Make) -> None:
    assert (profile(policy_of(), OPEN).value, profile(policy_of(), OPEN).stands) == ("", True)
    relayed = policy_of(network={"profile": "relay"})
    assert (profile(relayed, OPEN).value, profile(relayed, OPEN).stands) == ('"direct"', False)


def test_closed_nodes_get_a_relay(policy_of: Make) -> None:
    found = profile(policy_of(), CLOSED)
    assert (found.clause, found.value, found.stands) == ("network.profile", '"relay"', False)
    assert profile(policy_of(network={"profile": "relay"}), CLOSED).stands


@pytest.mark.parametrize("now", ["direct", "relay"])
def test_nodes_that_reach_no_host_get_files(policy_of: Make, now: str) -> None:
    nothing = {**CLOSED, "FallowRelayReached": False}
    found = profile(policy_of(network={"profile": now}), nothing)
    assert (found.value, found.stands) == ('"files"', False)
    assert "or let nodes dial login:9620" in found.remedy
    stays = profile(policy_of(network={"profile": "files"}), nothing)
    assert (stays.value, stays.stands) == ("", True)


def test_files_stay_where_the_relay_would_be_faster_and_it_is_said(policy_of: Make) -> None:
    found = profile(policy_of(network={"profile": "files"}), CLOSED)
    assert found.stands
    assert "nodes reach login:9620" in found.reason


def test_where_no_profile_fits_it_is_said_what_to_do(policy_of: Make) -> None:
    found = profile(policy_of(), {**CLOSED, "FallowEnclave": False})
    assert (found.value, found.stands) == ("", False)
    assert "user.max_net_namespaces" in found.remedy


def test_nodes_that_reach_the_hub_by_the_proxy_use_it(policy_of: Make) -> None:
    proxy = {"proxy": "http://proxy.example.org:3128"}
    found = {**CLOSED, "FallowProxyReached": True}
    assert profile(policy_of(network=proxy), found).value == '"proxy"'
    assert profile(policy_of(network={**proxy, "profile": "proxy"}), found).stands
    assert profile(policy_of(network={**proxy, "profile": "relay"}), found).stands, "it works: let it be"
    refused = {**CLOSED, "FallowProxyReached": False}
    assert profile(policy_of(network=proxy), refused).value == '"relay"'


def test_repositories_that_are_there_can_be_offered(policy_of: Make) -> None:
    policy = policy_of(assume={"cvmfs": ["atlas.cern.ch"]})
    assert len(propose(policy, {**OPEN, "FallowCvmfs": "atlas.cern.ch"}, "login:9620")) == 1
    copies = [{"repository": "atlas.cern.ch", "directory": "/apps/atlas"}]
    copied = policy_of(assume={"cvmfs_copies": copies})
    assert len(propose(copied, {**OPEN, "FallowCvmfs": "atlas.cern.ch"}, "login:9620")) == 1
    more = propose(policy, {**OPEN, "FallowCvmfs": "atlas.cern.ch,cms.cern.ch"}, "login:9620")[1]
    assert (more.clause, more.value, more.stands) == (
        "assume.cvmfs",
        '["atlas.cern.ch", "cms.cern.ch"]',
        True,
    )

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


@pytest.mark.parametrize(
    ("lacking", "remedy"),
    [
        ({"FallowRelayReached": False}, "Let nodes dial login:9620"),
        ({"FallowEnclave": False}, "user.max_net_namespaces"),
    ],
)
def test_where_no_profile_fits_it_is_said_what_to_do(
    policy_of: Make, lacking: dict[str, bool], remedy: str
) -> None:
    found = profile(policy_of(), {**CLOSED, **lacking})
    assert (found.value, found.stands) == ("", False)
    assert remedy in found.remedy


def test_repositories_that_are_there_can_be_offered(policy_of: Make) -> None:
    policy = policy_of(assume={"cvmfs": ["atlas.cern.ch"]})
    assert len(propose(policy, {**OPEN, "FallowCvmfs": "atlas.cern.ch"}, "login:9620")) == 1
    more = propose(policy, {**OPEN, "FallowCvmfs": "atlas.cern.ch,cms.cern.ch"}, "login:9620")[1]
    assert (more.clause, more.value, more.stands) == (
        "assume.cvmfs",
        '["atlas.cern.ch", "cms.cern.ch"]',
        True,
    )

"""What a node says of itself when it is asked for a profile."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing

from fallow_pilots.node.bounded import gather
from fallow_pilots.node.finding import Finding
from fallow_pilots.node.layout import Layout
from fallow_pilots.node.surroundings import looks
from fallow_pilots.spec import PilotSpec

Make = Callable[..., PilotSpec]


def found(spec: PilotSpec, place: Layout) -> dict[str, Finding]:
    return {finding.check: finding for finding in gather(looks(spec, place))}


def test_a_way_out_is_one_to_all_places(make_spec: Make, place: Layout) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server, closing(socket.socket()) as shut:
        shut.bind(("127.0.0.1", 0))
        here, away = (f"127.0.0.1:{one.getsockname()[1]}" for one in (server, shut))
        open_to_both = found(make_spec(probes=(here, here), probe_relay=here), place)
        closed = found(make_spec(probes=(here, away), probe_relay=away), place)
    assert open_to_both["outbound"].capabilities == {"FallowOutbound": True}
    assert open_to_both["way to the login host"].capabilities == {"FallowRelayReached": True}
    assert closed["outbound"].words == f"This node cannot dial {away}."
    assert closed["way to the login host"].capabilities == {"FallowRelayReached": False}


def test_the_node_says_whether_it_can_keep_a_pilot_apart(make_spec: Make, place: Layout) -> None:
    said = found(make_spec(), place)
    assert said["network namespaces"].capabilities == {"FallowEnclave": True}
    assert "Python 3." in said["machine"].words
    assert "setuid part" in said["setuid"].words
    assert "way to the login host" not in said

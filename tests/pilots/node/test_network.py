"""What the node reaches."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from fallow_pilots.node import network
from fallow_pilots.spec import PilotSpec

Make = Callable[..., PilotSpec]


@pytest.fixture
def closed() -> Iterator[str]:
    """The address of a port that takes no connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def listening() -> Iterator[str]:
    """The address of a port that takes connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def test_a_hub_that_does_not_answer_is_advertised_not_fatal(make_spec: Make, closed: str) -> None:
    finding = network.check_hub(make_spec(hub=f"https://{closed}"))
    assert (finding.good, finding.fatal) == (False, False)
    assert finding.capabilities == {"FallowHubReachable": False}


def test_a_collector_that_cannot_be_reached_is_named(make_spec: Make, closed: str) -> None:
    finding = network.check_collector(make_spec(collector=closed))
    assert (finding.good, finding.fatal) == (False, False)
    assert closed in finding.words


def test_a_collector_that_can_be_reached_is_well(make_spec: Make, listening: str) -> None:
    assert network.check_collector(make_spec(collector=listening)).good


def test_of_two_hubs_one_that_answers_is_enough(make_spec: Make, closed: str, listening: str) -> None:
    assert network.check_collector(make_spec(collector=closed, other_collector=listening)).good


def test_of_two_hubs_that_do_not_answer_the_second_is_named(make_spec: Make, closed: str) -> None:
    finding = network.check_hub(make_spec(hub="https://127.0.0.1:1", other_hub=f"https://{closed}"))
    assert (finding.good, finding.fatal) == (False, False)
    assert closed in finding.words


def test_names_that_are_not_known_here_are_told(make_spec: Make) -> None:
    spec = make_spec(hub="https://127.0.0.1:1", collector="no-such-host.invalid:9618")
    finding = network.check_names(spec)
    assert finding.words == "This node cannot resolve no-such-host.invalid: look at its DNS."


@pytest.mark.parametrize(("ahead_s", "fatal"), [(0.0, False), (4.0, False), (10.0, True), (-10.0, True)])
def test_a_clock_that_is_seconds_off_is_fatal(
    make_spec: Make, monkeypatch: pytest.MonkeyPatch, ahead_s: float, fatal: bool
) -> None:
    class Answer:
        def __init__(self) -> None:
            self.headers = {"Date": "now"}

        def __enter__(self) -> Answer:
            return self

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("requests.get", lambda *_, **__: Answer())
    monkeypatch.setattr(network, "skew_s", lambda *_: ahead_s)
    finding = network.check_hub(make_spec())
    assert finding.fatal is fatal
    assert finding.capabilities == {"FallowHubReachable": True, "FallowClockSkew": ahead_s}

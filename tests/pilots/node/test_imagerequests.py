from __future__ import annotations

from pathlib import Path

import pytest

from fallow_pilots.node.imagerequests import MOST_AT_ONCE, ImageRequests
from fallow_pilots.node.layout import Layout
from fallow_pilots.node.way import Way


@pytest.fixture
def requests(place: Layout, tmp_path: Path) -> ImageRequests:
    return ImageRequests(place, tmp_path / "no-spec", Way())


def settle(requests: ImageRequests, place: Layout) -> None:
    while list(place.requests.iterdir()):
        requests.look()
        for process in requests._running.values():
            process.wait(60)


def test_a_request_that_fails_is_taken_away(requests: ImageRequests, place: Layout) -> None:
    (place.requests / ("ab" * 32)).touch()
    settle(requests, place)
    assert list(place.verified.iterdir()) == []


@pytest.mark.parametrize("name", ["x", "ab" * 31, "AB" * 32, ".." + "a" * 62])
def test_a_request_without_a_digest_starts_nothing(requests: ImageRequests, place: Layout, name: str) -> None:
    (place.requests / name).touch()
    requests.look()
    assert (list(place.requests.iterdir()), requests._running) == ([], {})


def test_what_says_that_an_image_is_in_use_stays(requests: ImageRequests, place: Layout) -> None:
    use = place.requests / f"{'ab' * 32}.use.1"
    use.touch()
    requests.look()
    assert use.exists()


def test_many_requests_are_answered_a_few_at_a_time(requests: ImageRequests, place: Layout) -> None:
    for number in range(MOST_AT_ONCE + 1):
        (place.requests / f"{number:064x}").touch()
    requests.look()
    assert len(requests._running) == MOST_AT_ONCE
    settle(requests, place)

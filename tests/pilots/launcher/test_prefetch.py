from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fallow.client import ClientSettings
from fallow.hub import HubClient
from fallow.images.messages import Wanted
from fallow.offers import Offer, Shape
from fallow_pilots import prefetch
from fallow_pilots.images.store import Source
from fallow_pilots.policy import Policy
from fallow_pilots.prefetch import EVERY_S, Prefetcher, architectures, fitting

IMAGES = {hashlib.sha256(text).hexdigest(): text for text in (b"one", b"two")}
ONE, TWO = IMAGES
HERE = {"x86_64"}

PolicyOf = Callable[..., Policy]


def wanted(digest: str, jobs: int = 1, **more: str) -> Wanted:
    return Wanted(digest=f"sha256:{digest}", jobs=jobs, bytes=3, **more)


def offer(*shapes: list[str]) -> Offer:
    """An offer with shapes of these capabilities."""
    shape = Shape(cores=1, memory_mb=1, disk_mb=0, count=1)
    now = datetime.now(UTC)
    return Offer(
        centre="north",
        shapes=[shape.model_copy(update={"capabilities": words}) for words in shapes],
        starts=now,
        expires=now + timedelta(minutes=1),
    )


class Hub(HubClient):
    """Says what jobs need, and counts who asked."""

    def __init__(self) -> None:
        super().__init__(ClientSettings(hub="https://hub.example.org"), token=lambda: "")
        self.needs = [wanted(ONE), wanted(TWO, 5)]
        self.asked = 0

    def ask(self, model: type[Any], method: str, path: str, document: str | None = None) -> Any:
        self.asked += 1
        return model(images=self.needs)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digests that were read from the hub's store, in order."""
    found: list[str] = []

    class Opened:
        def __init__(self, *_: object) -> None:
            pass

        @contextmanager
        def open(self, digest: str) -> Iterator[Source]:
            found.append(digest)
            yield Source(len(IMAGES[digest]), [IMAGES[digest]])

    monkeypatch.setattr(prefetch, "HubImages", Opened)
    return found


def test_what_most_jobs_need_is_fetched_first_and_once(
    tmp_path: Path, policy_of: PolicyOf, fetched: list[str]
) -> None:
    policy, fetcher = policy_of(str(tmp_path)), Prefetcher(Hub())
    fetcher.fetch(policy, HERE)
    fetcher.fetch(policy, HERE)
    assert fetched == [TWO, ONE]
    assert (tmp_path / "images" / f"sha256-{ONE}.sif").read_bytes() == b"one"


def test_an_image_that_cannot_be_had_holds_the_next_not_up(
    tmp_path: Path, policy_of: PolicyOf, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(IMAGES, TWO, b"another")
    fetcher = Prefetcher(Hub())
    fetcher.fetch(policy_of(str(tmp_path)), HERE)
    fetcher.fetch(policy_of(str(tmp_path)), HERE)
    assert fetched == [TWO, ONE]
    assert [path.name for path in (tmp_path / "images").glob("*.sif")] == [f"sha256-{ONE}.sif"]


@pytest.mark.parametrize(
    "conditions",
    [
        {"images": [f"sha256:{TWO}"]},
        {"refused_centres": ["south"]},
        {"centres": ["north"]},
        {"work_types": ["analysis"]},
        {"refused_projects": ["secret"]},
    ],
)
def test_what_the_policy_does_not_let_in_is_not_fetched(
    policy_of: PolicyOf, conditions: dict[str, list[str]]
) -> None:
    needs = [
        wanted(ONE, centre="south", work_type="production", project="secret"),
        wanted(TWO, centre="north", work_type="analysis"),
    ]
    assert fitting(policy_of(conditions=conditions), HERE, needs) == [TWO]


def test_an_image_for_other_machines_is_not_fetched(policy_of: PolicyOf) -> None:
    needs = [wanted(ONE, architecture="aarch64"), wanted(TWO)]
    assert fitting(policy_of(), {"aarch64"}, needs) == [ONE]
    assert fitting(policy_of(), {"aarch64", "x86_64"}, needs) == [ONE, TWO]


@pytest.mark.parametrize(
    ("shapes", "found"),
    [
        ([["aarch64", "gpu"], []], {"aarch64"}),
        ([["x86-64-v3"], ["aarch64"]], {"x86_64", "aarch64"}),
        ([[]], {platform.machine()}),
        ([], {platform.machine()}),
    ],
)
def test_what_the_nodes_are_is_what_pilots_found_or_else_what_this_host_is(
    shapes: list[list[str]], found: set[str]
) -> None:
    assert architectures(offer(*shapes)) == found


def test_the_hub_is_asked_now_and_then_and_only_if_the_policy_says_so(
    tmp_path: Path, policy_of: PolicyOf, fetched: list[str]
) -> None:
    hub, now = Hub(), [0.0]
    fetcher = Prefetcher(hub, clock=lambda: now[0])

    def kick(**assume: bool) -> None:
        fetcher.kick(policy_of(str(tmp_path), assume=assume), offer([]))
        if fetcher._thread:
            fetcher._thread.join(60)

    kick(image_prefetch=False)
    assert hub.asked == 0
    kick()
    kick()
    assert hub.asked == 1
    now[0] += EVERY_S
    kick()
    assert hub.asked == 2

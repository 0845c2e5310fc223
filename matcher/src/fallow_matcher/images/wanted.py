"""Which images waiting jobs need, so that centres can have them before the jobs come."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

ATTRIBUTES = ("ContainerImage", "FallowImages", "FallowUserCentre", "FallowWorkType", "FallowProject")
WAITING = "JobStatus == 1"
MOST_JOBS = 20_000
"""Waiting jobs that are looked at; more than these need hardly other images."""
MOST_IMAGES = 100
KEPT_S = 10.0


class Need(NamedTuple):
    """Jobs of one kind in one image."""

    digest: str
    centre: str
    work_type: str
    project: str


def needs(ads: Iterable[Mapping[str, Any]]) -> list[tuple[Need, int]]:
    """What the jobs need, by how many jobs, the most needed first."""
    counted: Counter[Need] = Counter()
    for ad in ads:
        main = str(ad.get("ContainerImage", "")).rpartition("/")[2]
        digests = {
            main.removesuffix(".sif").replace("sha256-", "sha256:", 1),
            *str(ad.get("FallowImages", "")).split(),
        }
        kind = (str(ad.get(name, "")) for name in ATTRIBUTES[2:])
        centre, work_type, project = kind
        counted.update(
            Need(digest, centre, work_type, project) for digest in digests if digest.startswith("sha256:")
        )
    return counted.most_common(MOST_IMAGES)


class Needs:
    """The needs of the queue, asked for again after a few seconds only: every launcher wants to know them.

    Args:
        ads: Gives the waiting jobs' attributes.
        clock: Seconds that only grow.
    """

    def __init__(
        self, ads: Callable[[], Iterable[Mapping[str, Any]]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ads = ads
        self._clock = clock
        self._lock = threading.Lock()
        self._known: list[tuple[Need, int]] = []
        self._until = float("-inf")

    def now(self) -> list[tuple[Need, int]]:
        """What waiting jobs need."""
        with self._lock:
            if self._clock() >= self._until:
                self._known = needs(self._ads())
                self._until = self._clock() + KEPT_S
            return self._known

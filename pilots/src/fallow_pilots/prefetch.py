"""The launcher fetches images that waiting jobs need into the centre's store, so that the jobs find them there."""

from __future__ import annotations

import logging
import platform
import threading
import time
from collections.abc import Iterable, Set
from typing import TYPE_CHECKING, Callable

from fallow.errors import FallowError
from fallow.images.architecture import USUAL, among
from fallow.images.client import ImageClient
from fallow.images.messages import Wanted
from fallow.offers import Offer
from fallow_pilots.images.hub import HubImages
from fallow_pilots.images.store import ImageStore
from fallow_pilots.policy import Policy

if TYPE_CHECKING:
    from fallow.hub import HubClient
    from fallow.web import Dial

log = logging.getLogger(__name__)

EVERY_S = 15.0
GIVEN_UP_S = 600.0
"""How long an image that could not be fetched is left alone."""


def architectures(offer: Offer) -> Set[str]:
    """What the centre's nodes are, as its pilots found; what this host is, where none has told yet."""
    told = [shape.capabilities for shape in offer.shapes if shape.capabilities]
    return {among(words) or USUAL for words in told} or {platform.machine()}


def fitting(policy: Policy, machines: Set[str], wanted: Iterable[Wanted]) -> list[str]:
    """The digests, without `sha256:`, of images that jobs need which the centre takes; those of most jobs first.

    What the policy says of registries is for pilots, which ask them; such images are not fetched before.
    """
    terms = policy.conditions
    found: dict[str, int] = {}
    for one in wanted:
        let_in = (
            one.architecture in machines
            and _admits(one.work_type, terms.work_types, terms.refused_work_types)
            and _admits(one.centre, terms.centres, terms.refused_centres)
            and _admits(one.project, terms.projects, terms.refused_projects)
            and (not terms.images or one.digest in terms.digests)
        )
        if let_in:
            found[one.digest] = found.get(one.digest, 0) + one.jobs
    return [digest.partition(":")[2] for digest in sorted(found, key=lambda digest: -found[digest])]


def _admits(value: str, taken: tuple[str, ...], refused: tuple[str, ...]) -> bool:
    return (not taken or value in taken) and value not in refused


class Prefetcher:
    """Fetches in a thread of its own, one image after the other; the launcher only says that it is time.

    Args:
        hub: The hub, with the launcher's token.
        dial: How its store is dialled, where not by this host itself.
        clock: Seconds that only grow.
    """

    def __init__(
        self, hub: HubClient, dial: Dial | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._hub = hub
        self._dial = dial
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._next = float("-inf")
        self._failed: dict[str, float] = {}

    def kick(self, policy: Policy, offer: Offer) -> None:
        """Look what is needed, unless that goes on already or was done a moment ago."""
        now = self._clock()
        if not policy.prefetches or now < self._next or (self._thread and self._thread.is_alive()):
            return
        self._next = now + EVERY_S
        self._thread = threading.Thread(
            target=self._run, args=(policy, architectures(offer)), name="prefetch", daemon=True
        )
        self._thread.start()

    def _run(self, policy: Policy, machines: Set[str]) -> None:
        try:
            self.fetch(policy, machines)
        except Exception:
            log.exception("images that waiting jobs need could not be fetched")

    def fetch(self, policy: Policy, machines: Set[str]) -> None:
        """Fetch what is needed and not there."""
        try:
            digests = fitting(policy, machines, ImageClient(self._hub).wanted())
        except FallowError as error:
            log.warning("the hub does not say which images jobs need: %s", error)
            return
        quota_mb = policy.assume.image_quota_mb
        store = ImageStore(
            policy.image_store_dir,
            HubImages(self._hub, policy.identity.ca_file, self._dial).open,
            quota_bytes=None if quota_mb is None else quota_mb * 1_000_000,
        )
        for digest in digests:
            if self._clock() < self._failed.get(digest, 0.0) or store.path(digest).exists():
                continue
            try:
                if store.prefetch(digest):
                    log.info("the image sha256:%s was fetched for jobs that wait", digest)
            except FallowError as error:
                self._failed[digest] = self._clock() + GIVEN_UP_S
                log.warning("the image sha256:%s was not fetched for jobs that wait: %s", digest, error)

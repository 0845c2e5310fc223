"""What the plugin has from the hub: the queue, images, and storage access for jobs."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fallow.errors import UsageError
from fallow.queue.images import Digests, cache_file, publish
from snakemake_executor_plugin_fallow.payload import Access

if TYPE_CHECKING:
    from fallow.client import ClientSettings
    from fallow.hub import HubClient
    from snakemake_executor_plugin_fallow.queuelike import QueueLike

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_RENEW_AFTER = 0.5
"""The part of their life after which credentials are no longer given to new jobs."""


@dataclass
class Federated:
    """One workflow's access to one federation."""

    hub: HubClient
    queue: QueueLike
    settings: ClientSettings
    defaults: Mapping[str, str | None]
    own_keys: bool
    """Whether the workflow brings S3 keys of its own, which reach the job as its environment."""
    prefix: str | None
    image: str = ""
    _digests: Digests = field(default_factory=lambda: Digests(cache_file()))
    _published: set[str] = field(default_factory=set)
    _given: tuple[float, Access] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def connect(cls, chosen: Any, *, prefix: str | None, own_keys: bool) -> Federated:
        """Connect to the configured hub and make the worker image available there.

        Args:
            chosen: The `ExecutorSettings`.
            prefix: Snakemake's default storage prefix.
            own_keys: Whether the workflow brings S3 keys of its own.

        Raises:
            FallowError: The hub is not configured or not there, or the settings make no sense.
        """
        from fallow.client import client_settings, connect
        from fallow.queue.hub import open_queue

        settings = client_settings()
        hub = connect(settings)
        defaults = {name: getattr(chosen, name) for name in ("work_type", "centre", "requirements")}
        made = cls(hub, open_queue(hub), settings, defaults, own_keys, prefix)
        made.access()  # whatever is wrong with it is better known now
        made.image = made._worker(chosen.image)
        return made

    def publish(self, file: Path) -> str:
        """Make a local image available to jobs; returns its digest."""
        digest = self._digests.of(file)
        with self._lock:
            if digest not in self._published:
                publish(self.hub, file, digest, ca_file=self.settings.ca_file)
                self._published.add(digest)
        return digest

    def access(self) -> Access | None:
        """Storage access for jobs that are submitted now, or None where they bring their own.

        Raises:
            UsageError: The workflow's storage prefix is not in the storage that the hub gives this user.
        """
        if self.own_keys:
            return None
        with self._lock:
            if self._given is None or time.time() > self._given[0]:
                storage = self.hub.storage()
                _check_prefix(self.prefix, f"s3://{storage.bucket}/{storage.prefix}".rstrip("/"))
                ca_file = self.settings.ca_file if storage.endpoint.startswith("https:") else None
                authorities = ca_file.read_text(encoding="utf-8") if ca_file else None
                life_s = storage.expires.timestamp() - time.time()
                self._given = (time.time() + life_s * _RENEW_AFTER, Access(storage, authorities))
            return self._given[1]

    def _worker(self, image: str | None) -> str:
        if not image:
            raise UsageError(
                "No image is named for jobs to run in.",
                remedy="Give --fallow-image (or SNAKEMAKE_FALLOW_IMAGE): a SIF file or the digest of one.",
            )
        return image if _DIGEST.fullmatch(image) else self.publish(Path(image).expanduser())


def _check_prefix(prefix: str | None, ours: str) -> None:
    if prefix is None or not f"{prefix.rstrip('/')}/".startswith(f"{ours}/"):
        raise UsageError(
            f"The default storage prefix {prefix or '(none)'} is not in your storage, {ours}.",
            remedy=f"Give --default-storage-provider s3 --default-storage-prefix {ours}/NAME",
        )

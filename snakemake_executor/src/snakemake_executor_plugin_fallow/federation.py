"""What the plugin has from the hub: the queue, images, and storage access for jobs."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fallow.errors import FallowError, UsageError
from fallow.images.architecture import Architecture
from fallow.images.client import ImageClient
from fallow.images.names import is_digest, is_tag
from fallow.queue.images import Digests, cache_file, publish
from fallow.storage.aws import process_document
from fallow.storage.transfer import put_object, remove_object
from snakemake_executor_plugin_fallow.payload import Access
from snakemake_executor_plugin_fallow.resources import DEFAULTS

if TYPE_CHECKING:
    from fallow.client import ClientSettings
    from fallow.hub import HubClient
    from snakemake_executor_plugin_fallow.queuelike import QueueLike

REACHES = ("workflow", "all")
RENEWALS = ".fallow/access"
"""Folder below the workflow's prefix where later credentials are put for jobs that run."""
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
    run: str = ""
    """The run's id, which names where later credentials are put."""
    reach: str = "workflow"
    """What of the user's storage jobs may reach: `workflow` (the default storage prefix) or `all`."""
    _area: str | None = None
    _put: bool = False
    _digests: Digests = field(default_factory=lambda: Digests(cache_file()))
    _published: set[str] = field(default_factory=set)
    _resolved: dict[str, str] = field(default_factory=dict)
    _architectures: dict[str, Architecture] = field(default_factory=dict)
    _given: tuple[float, Access] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def connect(cls, chosen: Any, *, run: str, prefix: str | None, own_keys: bool) -> Federated:
        """Connect to the configured hub and make the worker image available there.

        Args:
            chosen: The `ExecutorSettings`.
            run: The run's id.
            prefix: Snakemake's default storage prefix.
            own_keys: Whether the workflow brings S3 keys of its own.

        Raises:
            FallowError: The hub is not configured or not there, or the settings make no sense.
        """
        from fallow.client import client_settings, connect
        from fallow.queue.hub import open_queue

        if chosen.storage not in REACHES:
            raise UsageError(
                f"--fallow-storage {chosen.storage!r} is unknown.",
                remedy=f"Give one of {', '.join(REACHES)}.",
            )
        settings = client_settings()
        hub = connect(settings)
        defaults = {name: getattr(chosen, name) for name in DEFAULTS}
        made = cls(hub, open_queue(hub), settings, defaults, own_keys, prefix, run=run, reach=chosen.storage)
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

    def resolve(self, image: str) -> str:
        """The digest of an image that is named by it or by a tag; what a tag means is asked once in a run."""
        with self._lock:
            if image not in self._resolved:
                self._resolved[image] = ImageClient(self.hub).resolve(image)
            return self._resolved[image]

    def architecture(self, digests: Collection[str]) -> Architecture:
        """What the programs of the images of one job are for; what the hub says of an image is asked once in a run.

        Raises:
            UsageError: They are for several architectures: no node could run them all.
        """
        with self._lock:
            for digest in digests:
                if digest not in self._architectures:
                    self._architectures[digest] = ImageClient(self.hub).architecture(digest)
            found = {self._architectures[digest] for digest in digests}
        if len(found) != 1:
            raise UsageError(
                f"The images of one job are for several architectures: {', '.join(sorted(found))}.",
                remedy="Name images for one, e.g. a tag with @aarch64.",
            )
        return found.pop()

    def access(self) -> Access | None:
        """Storage access for jobs that are submitted now, without keys where they bring their own.

        Raises:
            UsageError: The workflow's storage prefix is not in the storage that the hub gives this user.
        """
        if self.own_keys:
            return Access(None, self._all_authorities())
        with self._lock:
            if self._given is None or time.time() > self._given[0]:
                storage = self.hub.storage(self._below())
                ca_file = self.settings.ca_file if storage.endpoint.startswith("https:") else None
                authorities = ca_file.read_text(encoding="utf-8") if ca_file else None
                life_s = storage.expires.timestamp() - time.time()
                renewal = {"bucket": storage.bucket, "key": f"{storage.prefix}{RENEWALS}/{self.run}.json"}
                access = Access(storage, authorities, renewal)
                if self._given is not None:
                    self._put_renewal(access)
                self._given = (time.time() + life_s * _RENEW_AFTER, access)
            return self._given[1]

    def close(self) -> None:
        """Take back what was put into the storage for running jobs; if that fails, it only stays."""
        if self._put:
            access = self._given[1] if self._given else None
            with contextlib.suppress(FallowError):
                if access is not None and access.storage is not None and access.renewal is not None:
                    remove_object(access.storage, access.renewal["key"], ca_file=self.settings.ca_file)

    def _all_authorities(self) -> str | None:
        """Those that everybody trusts, and the federation's: the user's own keys may be for its storage."""
        if self.settings.ca_file is None:
            return None
        import certifi

        return certifi.contents() + self.settings.ca_file.read_text(encoding="utf-8")

    def _put_renewal(self, access: Access) -> None:
        """Give jobs that run credentials that last longer."""
        assert access.storage is not None and access.renewal is not None  # noqa: S101, PT018 - made here
        text = json.dumps(process_document(access.storage))
        put_object(access.storage, access.renewal["key"], text, ca_file=self.settings.ca_file)
        self._put = True

    def _below(self) -> str:
        """The folder of the user's area that jobs may reach: where the workflow's files are, or all of it."""
        if self._area is None:
            whole = self.hub.storage()
            self._area = f"s3://{whole.bucket}/{whole.prefix}".rstrip("/")
            _check_prefix(self.prefix, self._area)
        if self.reach == "all" or self.prefix is None:
            return ""
        below = self.prefix.rstrip("/")[len(self._area) :].strip("/")
        return f"{below}/" if below else ""

    def _worker(self, image: str | None) -> str:
        if not image:
            raise UsageError(
                "No image is named for jobs to run in.",
                remedy="Give --fallow-image (or SNAKEMAKE_FALLOW_IMAGE): a SIF file, or the digest or tag of an image.",
            )
        if is_digest(image) or is_tag(image):
            return self.resolve(image)
        return self.publish(Path(image).expanduser())


def _check_prefix(prefix: str | None, ours: str) -> None:
    if prefix is None or not f"{prefix.rstrip('/')}/".startswith(f"{ours}/"):
        raise UsageError(
            f"The default storage prefix {prefix or '(none)'} is not in your storage, {ours}.",
            remedy=f"Give --default-storage-provider s3 --default-storage-prefix {ours}/NAME",
        )

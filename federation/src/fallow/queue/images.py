"""Local images: their digests, remembered, and their way to the hub."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fallow.errors import NotAvailableError, UsageError
from fallow.files import private_directory, sha256_of, write_private

if TYPE_CHECKING:
    from fallow.hub import HubClient

log = logging.getLogger(__name__)

_CONNECT_S = 10.0
_READ_S = 600.0
_REMEMBERED = 1000


class Digests:
    """Digests of local files; one is computed again only after its path, size or modification time changed.

    Args:
        store: Where they are remembered between processes; a damaged store is started anew.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._lock = threading.Lock()

    def of(self, path: Path) -> str:
        """The digest of the file at `path`, `sha256:<64 hex>`.

        Raises:
            UsageError: There is no readable file.
        """
        try:
            path = path.resolve(strict=True)
            about = path.stat()
            key = json.dumps([str(path), about.st_size, about.st_mtime_ns, about.st_ino])
            with self._lock:
                known = self._read()
                if key not in known:
                    log.info("computing the digest of %s", path)
                    known[key] = f"sha256:{sha256_of(path)}"
                    self._write(known)
                return known[key]
        except OSError as error:
            raise UsageError(
                f"Cannot read the image {path}: {error.strerror}.", remedy="Name an existing SIF file."
            ) from error

    def _read(self) -> dict[str, str]:
        try:
            known = json.loads(self._store.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _write(self, known: Mapping[str, str]) -> None:
        private_directory(self._store.parent)
        write_private(self._store, json.dumps(dict(list(known.items())[-_REMEMBERED:])))


def cache_file(environ: Mapping[str, str] | None = None) -> Path:
    """Where a user's digests are remembered."""
    environ = os.environ if environ is None else environ
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fallow" / "digests.json"


def publish(hub: HubClient, path: Path, digest: str, *, ca_file: Path | None = None) -> bool:
    """Send the image at `path` to the hub unless it is there already; returns whether it was sent.

    Raises:
        NotAvailableError: The hub or its store is out of reach, or did not take the image.
        RefusedError: This user may not store images.
    """
    import requests

    upload = hub.image_upload(digest)
    if upload is None:
        return False
    log.info("sending the image %s (%d MB) to the hub", path, path.stat().st_size // 1_000_000)
    try:
        with path.open("rb") as stream:
            verify = str(ca_file) if ca_file else True
            # signed into the URL: nobody replaces an image that another has stored in the meantime
            headers = {"If-None-Match": "*"}
            answer = requests.put(
                upload.url, data=stream, headers=headers, timeout=(_CONNECT_S, _READ_S), verify=verify
            )
    except requests.RequestException as error:
        # the presigned URL is a secret, and the exception's text shows it
        raise NotAvailableError(
            f"The image {path} could not be sent to the hub's store: {type(error).__name__}.", retryable=True
        ) from None
    if answer.status_code == requests.codes.precondition_failed:
        return False
    if not answer.ok:
        raise NotAvailableError(
            f"The hub's store did not take the image {path}: status {answer.status_code}.", retryable=True
        )
    return True

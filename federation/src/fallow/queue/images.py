"""Local images: their digests, remembered, and their way to the hub."""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Callable

from fallow.errors import NotAvailableError, RefusedError, UsageError
from fallow.files import private_directory, sha256_of, write_private

if TYPE_CHECKING:
    from fallow.hub import HubClient
    from fallow.images.messages import Statement

log = logging.getLogger(__name__)

_CONNECT_S = 10.0
_READ_S = 600.0
_REMEMBERED = 1000
_BLOCK_BYTES = 1 << 20


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


def publish(
    hub: HubClient,
    path: Path,
    digest: str,
    *,
    ca_file: Path | None = None,
    statement: Statement | None = None,
    watch: Callable[[int], None] = lambda _: None,
) -> bool:
    """Send the image at `path` to the hub unless it is there already; returns whether it was sent.

    Args:
        hub: The hub.
        path: The image.
        digest: Its digest.
        ca_file: Certificate authorities of the hub's store, where no public one signed its certificate.
        statement: What to say of the image; without it, only where it comes from, and only if it was sent.
        watch: Is told how many more bytes have been sent.

    Raises:
        NotAvailableError: The hub or its store is out of reach, or did not take the image.
        RefusedError: This user may not store images, or the file has changed since its digest was computed.
    """
    from fallow.images.architecture import architecture_of
    from fallow.images.client import ImageClient
    from fallow.images.messages import Statement

    upload = hub.image_upload(digest)
    sent = upload is not None and _send(upload.url, path, digest, ca_file, watch)
    if sent or statement is not None:
        said = Statement(source=f"file {path.name}", architecture=architecture_of(path))
        ImageClient(hub).state(digest, statement or said)
    return sent


def _send(url: str, path: Path, digest: str, ca_file: Path | None, watch: Callable[[int], None]) -> bool:
    import requests

    log.info("sending the image %s (%d MB) to the hub", path, path.stat().st_size // 1_000_000)
    checksum = base64.b64encode(bytes.fromhex(digest.removeprefix("sha256:"))).decode("ascii")
    # signed into the URL: nobody replaces what another has stored, and the store takes nothing of another digest
    headers = {"If-None-Match": "*", "x-amz-checksum-sha256": checksum}
    try:
        with path.open("rb") as stream:
            verify = str(ca_file) if ca_file else True
            body = _Watched(stream, path.stat().st_size, watch)
            answer = requests.put(
                url, data=body, headers=headers, timeout=(_CONNECT_S, _READ_S), verify=verify
            )
    except requests.RequestException as error:
        # the presigned URL is a secret, and the exception's text shows it
        raise NotAvailableError(
            f"The image {path} could not be sent to the hub's store: {type(error).__name__}.", retryable=True
        ) from None
    if answer.status_code == requests.codes.precondition_failed:
        return False
    if answer.status_code == requests.codes.bad_request and "BadDigest" in answer.text[:2000]:
        raise RefusedError(
            f"The hub's store did not take the image {path}: what came does not have the digest {digest}.",
            remedy="Do not change the file while it is sent; then try again.",
            retryable=True,
        )
    if not answer.ok:
        raise NotAvailableError(
            f"The hub's store did not take the image {path}: status {answer.status_code}.", retryable=True
        )
    return True


class _Watched:
    """A file that tells how much of it has been read; `requests` wants no more of it than this."""

    def __init__(self, stream: IO[bytes], size_bytes: int, watch: Callable[[int], None]) -> None:
        self._stream = stream
        self._size_bytes = size_bytes
        self._watch = watch

    def __len__(self) -> int:
        return self._size_bytes

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(_BLOCK_BYTES), b"")

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(min(size, _BLOCK_BYTES) if size >= 0 else _BLOCK_BYTES)
        self._watch(len(block))
        return block

"""Fetches one image that a payload waits for: `python -m fallow_pilots.node.fetch SPEC VERIFIED DIGEST SOURCES`.

A process of its own on a miss, so that the pilot goes on meanwhile and stays small.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import requests

from fallow.errors import FallowError, NotAvailableError, RefusedError
from fallow.hub import HubClient
from fallow_pilots.node.hub import hub_of
from fallow_pilots.node.imagerequests import NO_SUCH_IMAGE
from fallow_pilots.node.images import CHUNK_BYTES, ImageStore, Source, fingerprint
from fallow_pilots.node.registry import Registries
from fallow_pilots.spec import PilotSpec

CONNECT_S = 10.0
SILENCE_S = 60.0
"""The longest that the store of images may send nothing."""


class NoSuchImageError(RefusedError):
    """The hub does not have an image: no pilot would get it."""

    exit_code = NO_SUCH_IMAGE


class HubImages:
    """Opens images at the hub: the gateway names the place, the S3 store sends the bytes."""

    def __init__(self, hub: HubClient, ca_file: Path | None, proxy: str | None) -> None:
        self._hub = hub
        self._verify = str(ca_file) if ca_file else True
        self._proxies: dict[str, str] = {"http": proxy, "https": proxy} if proxy else {}

    @contextmanager
    def open(self, digest: str) -> Iterator[Source]:
        """The image's size and bytes.

        Raises:
            RefusedError: The hub has no such image, or names a place that is no web address.
            NotAvailableError: Hub or store do not answer.
        """
        found = self._hub.image_url(f"sha256:{digest}")
        if found is None:
            raise NoSuchImageError(f"The hub has no image sha256:{digest}.")
        if urlsplit(found.url).scheme not in {"https", "http"}:
            raise RefusedError(f"The hub names no web address for the image sha256:{digest}.")
        try:
            with requests.get(
                found.url,
                stream=True,
                allow_redirects=False,
                timeout=(CONNECT_S, SILENCE_S),
                verify=self._verify,
                proxies=self._proxies,
            ) as answer:
                if answer.status_code != 200:
                    raise NotAvailableError(
                        f"The store answered {answer.status_code} for the image sha256:{digest}.",
                        retryable=True,
                    )
                yield Source(found.bytes, answer.iter_content(CHUNK_BYTES))
        except requests.RequestException as error:
            # The exception's text holds the presigned URL, which is as good as a password.
            raise NotAvailableError(
                f"The image sha256:{digest} could not be read: {type(error).__name__}.", retryable=True
            ) from None


def fetch(spec: PilotSpec, verified: Path, digest: str, sources: Path) -> Path:
    """Have an image in the centre's store, checked, and mark it as checked on this node.

    Args:
        spec: The pilot's specification.
        verified: Where the mark goes.
        digest: The image, 64 hexadecimal digits.
        sources: A file that says in which registries it is said to lie.
    """
    if spec.registries and f"sha256:{digest}" not in spec.images:
        said = sources.read_text(encoding="ascii", errors="replace") if sources.exists() else ""
        registries = Registries(spec.registries, spec.registry_ca_file, spec.proxy)
        registries.require(digest, said.replace(",", " ").split())

    store = ImageStore(spec.image_store_dir, HubImages(hub_of(spec), spec.ca_file, spec.proxy).open)
    path = store.ensure(digest)
    draft = verified / f".{digest}"
    draft.write_text(fingerprint(path) + "\n", encoding="ascii")
    draft.replace(verified / digest)
    return path


def main(arguments: list[str] | None = None) -> int:
    """Entry point; a failure is one line on standard error and a status other than 0."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    spec, verified, digest, sources = sys.argv[1:] if arguments is None else arguments
    try:
        fetch(PilotSpec.read(Path(spec)), Path(verified), digest, Path(sources))
    except FallowError as error:
        logging.getLogger(__name__).error("%s", error)  # noqa: TRY400 - a sentence for the site admin, no traceback
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

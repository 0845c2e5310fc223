"""Images at the hub: the gateway names the place, the S3 store sends the bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests

from fallow.errors import NotAvailableError, RefusedError
from fallow.web import Dial, session
from fallow_pilots.images.store import CHUNK_BYTES, Source
from fallow_pilots.node.imagerequests import NO_SUCH_IMAGE

if TYPE_CHECKING:
    from fallow.hub import HubClient

CONNECT_S = 10.0
SILENCE_S = 60.0
"""The longest that the store of images may send nothing."""


class NoSuchImageError(RefusedError):
    """The hub does not have an image: no pilot would get it."""

    exit_code = NO_SUCH_IMAGE


class HubImages:
    """Opens images at the hub: the gateway names the place, the S3 store sends the bytes.

    Args:
        hub: The hub.
        ca_file: Who vouches for gateway and store, where no public authority does.
        dial: Makes the connections, where the way to the store is not this host's own.
    """

    def __init__(self, hub: HubClient, ca_file: Path | None, dial: Dial | None = None) -> None:
        self._hub = hub
        self._verify = str(ca_file) if ca_file else True
        self._session = session(ca_file, dial=dial)

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
            with self._session.get(
                found.url,
                stream=True,
                allow_redirects=False,
                timeout=(CONNECT_S, SILENCE_S),
                verify=self._verify,
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

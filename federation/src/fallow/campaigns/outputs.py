"""Outputs of campaigns, from the user's storage into a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from fallow.errors import NotAvailableError
from fallow.files import sha256_of

if TYPE_CHECKING:
    from fallow.messages import StorageAccess


def fetch(rows: Sequence[Mapping[str, Any]], into: Path) -> None:
    """Fetch outputs under the keys of their URLs; one that is here with the same content is not fetched again.

    Args:
        rows: `url` and `sha256` of each.
        into: The folder.

    Raises:
        NotAvailableError: The store does not answer, or has other content by now.
    """
    from fallow.client import client_settings, connect
    from fallow.storage.transfer import get_object

    settings = client_settings()
    access = connect(settings).storage()
    for row in rows:
        key = key_of(access, str(row["url"]))
        name = key[len(access.prefix) :]
        if ".." in name.split("/"):
            raise NotAvailableError(f"{row['url']} names no file.")
        path = into / name
        if path.exists() and sha256_of(path) == row["sha256"]:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        content = get_object(access, key, ca_file=settings.ca_file)
        if content is None or hashlib.sha256(content).hexdigest() != row["sha256"]:
            raise NotAvailableError(
                f"{row['url']} is not what the job had stored.", remedy="Somebody has replaced or removed it."
            )
        path.write_bytes(content)


def key_of(access: StorageAccess, url: str) -> str:
    """The key of an object that a campaign's URL names."""
    parts = urlsplit(url)
    key = unquote(parts.path.lstrip("/"))
    return key if parts.netloc else access.prefix + key

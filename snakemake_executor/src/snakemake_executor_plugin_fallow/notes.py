"""What jobs said about themselves: read where a job was killed, and at the end for the summary.

See `job/fallow_notes.py`, which writes them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

log = logging.getLogger(__name__)

FOLDER = ".fallow/notes"
_THREADS = 16


@dataclass(frozen=True)
class Note:
    """What one job said last."""

    cpu_s: float
    memory_mb: float
    said: Mapping[str, str] = field(default_factory=dict)
    """The ends of `stdout`, `stderr` and the rule's logs, by name."""


class Notes:
    """The notes of one run's jobs.

    Args:
        prefix: The workflow's storage prefix, `s3://BUCKET/FOLDER`.
        run: The run's id.
        client: Gives an S3 client; called when it is first needed.
    """

    def __init__(self, prefix: str, run: str, client: Callable[[], Any]) -> None:
        place = urlsplit(prefix)
        self._bucket = place.netloc
        self._folder = "/".join(filter(None, (place.path.strip("/"), FOLDER, run)))
        self._client = client

    def url(self, key: str) -> str:
        """Where the job with this key writes."""
        return f"s3://{self._bucket}/{self._object(key)}"

    def read(self, key: str) -> Note | None:
        """What a job said last; None where it said nothing, or it cannot be had."""
        try:
            answer = self._client().get_object(Bucket=self._bucket, Key=self._object(key))
            return parse(answer["Body"].read())
        except Exception as error:  # noqa: BLE001 - only a help for people
            log.debug("no note of %s: %s", key, error)
            return None

    def read_all(self, keys: Iterable[str]) -> dict[str, Note]:
        """The notes of many jobs, by key."""
        wanted = list(keys)
        with ThreadPoolExecutor(_THREADS) as pool:
            found = dict(zip(wanted, pool.map(self.read, wanted), strict=True))
        return {key: note for key, note in found.items() if note is not None}

    def remove_all(self) -> None:
        """Remove them; if that fails, they only stay."""
        try:
            client = self._client()
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._folder}/"
            )
            for page in pages:
                some = [{"Key": found["Key"]} for found in page.get("Contents", [])]
                if some:
                    client.delete_objects(Bucket=self._bucket, Delete={"Objects": some, "Quiet": True})
        except Exception as error:  # noqa: BLE001 - nothing depends on it
            log.info("notes of jobs stay in %s: %s", self._folder, error)

    def _object(self, key: str) -> str:
        return f"{self._folder}/{key}.json"


def parse(text: bytes) -> Note | None:
    """A note as its job wrote it; the job may have written anything."""
    try:
        note = json.loads(text)
        said = {str(name): str(part["text"]) for name, part in note["said"].items() if isinstance(part, dict)}
        return Note(float(note["cpu_s"]), float(note["memory_mb"]), said)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None

"""What a storage has said about one bucket, so that a job asks nothing twice.

Only the standard library may be used: the file travels with each job.
"""

import posixpath
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Found:
    """A file of the storage."""

    size: int
    modified: datetime


class Memory:
    """What the storage has said about one bucket. Safe to share between threads.

    Args:
        client: The storage's client.
        bucket: The bucket.
    """

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._lock = threading.RLock()
        self._files: dict[str, Found | None] = {}
        self._folders: dict[str, dict[str, Found]] = {}
        self._asked: dict[str, set[str]] = {}
        self._whole: set[str] = set()
        self._long: set[str] = set()

    def file(self, key: str) -> "Found | None":
        """The file with that key."""
        with self._lock:
            if key not in self._files:
                self._look(key)
            return self._files[key]

    def folder(self, key: str) -> "dict[str, Found]":
        """The files below a key that is taken for a folder's, by their keys."""
        with self._lock:
            if key not in self._folders:
                self._look(key)
            return self._folders[key]

    def forget(self, key: str) -> None:
        """Something was stored or removed there."""
        with self._lock:
            self._files.pop(key, None)
            self._folders.pop(key, None)
            self._whole.discard(posixpath.dirname(key))
            self._long.add(posixpath.dirname(key))

    def _look(self, key: str) -> None:
        """Find out about a key: from all of its folder if another one there was asked for before."""
        parent = posixpath.dirname(key)
        asked = self._asked.setdefault(parent, set())
        asked.add(key)
        if parent and len(asked) > 1 and parent not in self._long and parent not in self._whole:
            self._list_parent(parent)
        if parent in self._whole and key not in self._files:
            self._files[key] = None
            self._folders.setdefault(key, {})
        if key in self._files and key in self._folders:
            return
        page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=key, Delimiter="/")
        there = {item["Key"]: _found(item) for item in page.get("Contents", ())}
        self._files[key] = there.get(key)
        folders = {item["Prefix"] for item in page.get("CommonPrefixes", ())}
        if f"{key}/" in folders or (page.get("IsTruncated") and self._files[key] is None):
            self._folders[key] = self._list_below(f"{key}/")
        else:
            self._folders[key] = {}

    def _list_parent(self, parent: str) -> None:
        page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=f"{parent}/", Delimiter="/")
        folders = {item["Prefix"].rstrip("/") for item in page.get("CommonPrefixes", ())}
        for item in page.get("Contents", ()):
            self._files.setdefault(item["Key"], _found(item))
            if item["Key"] not in folders:
                self._folders.setdefault(item["Key"], {})
        for folder in folders:
            self._files.setdefault(folder, None)
            if folder in self._asked[parent] and folder not in self._folders:
                self._folders[folder] = self._list_below(f"{folder}/")
        (self._long if page.get("IsTruncated") else self._whole).add(parent)

    def _list_below(self, prefix: str) -> "dict[str, Found]":
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return {
            item["Key"]: _found(item)
            for page in pages
            for item in page.get("Contents", ())
            if not item["Key"].endswith("/")
        }


def local(file: Path) -> Found:
    """A file that is here."""
    status = file.stat()
    return Found(status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _found(item: "dict[str, Any]") -> Found:
    return Found(item["Size"], item["LastModified"])

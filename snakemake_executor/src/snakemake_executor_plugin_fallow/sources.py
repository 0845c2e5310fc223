"""A workflow's sources in the storage, named by what they hold, so that runs share them and none takes them from another.

Snakemake's own archive is deleted at the end of a run, also under a second run with the same sources. Ours stays for as long
as somebody has used it lately: each run that does renews its date.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import tarfile
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fallow.errors import NotAvailableError
from snakemake_executor_plugin_fallow.job.fallow_job import S3_SETTINGS
from snakemake_executor_plugin_fallow.payload import Sources

log = logging.getLogger(__name__)

FOLDER = ".fallow/sources"
RENEWED_AFTER = timedelta(days=1)
KEPT = timedelta(days=30)
"""So long after its last use an archive may be deleted; no job waits and runs longer than that."""


def pack(workflow: Any) -> bytes:
    """The sources that Snakemake would deploy, as a tar.xz of the same bytes whenever they hold the same."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sources.tar.xz"
        workflow.write_source_archive(path)
        packed = io.BytesIO()
        with tarfile.open(path) as given, tarfile.open(fileobj=packed, mode="w:xz") as made:
            for member in sorted(given.getmembers(), key=lambda member: member.name):
                plain = tarfile.TarInfo(member.name)
                plain.size, plain.mode = member.size, member.mode & 0o755
                plain.type, plain.linkname = member.type, member.linkname
                made.addfile(plain, given.extractfile(member) if member.isfile() else None)
    return packed.getvalue()


def publish(archive: bytes, prefix: str) -> Sources:
    """Put an archive below the workflow's storage prefix, unless it is there; let go of those that nobody uses.

    Args:
        archive: What `pack` made.
        prefix: The default storage prefix, `s3://BUCKET/FOLDER`.

    Raises:
        NotAvailableError: The storage does not take it.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return _publish(archive, prefix)
    except (BotoCoreError, ClientError) as error:
        raise NotAvailableError(
            f"The workflow's sources cannot be put into {prefix}: {error}", retryable=True
        ) from error


def _publish(archive: bytes, prefix: str) -> Sources:
    place = urlsplit(prefix)
    folder = "/".join(filter(None, (place.path.strip("/"), FOLDER)))
    sha256 = hashlib.sha256(archive).hexdigest()
    key = f"{folder}/{sha256}.tar.xz"
    store, now = _client(), datetime.now(UTC)
    there = {
        found["Key"]: now - found["LastModified"]
        for page in store.get_paginator("list_objects_v2").paginate(Bucket=place.netloc, Prefix=f"{folder}/")
        for found in page.get("Contents", [])
    }
    if there.get(key, KEPT) > RENEWED_AFTER:
        store.put_object(Bucket=place.netloc, Key=key, Body=archive)
    for old in [name for name, age in there.items() if age > KEPT and name != key]:
        store.delete_object(Bucket=place.netloc, Key=old)
    return Sources(f"s3://{place.netloc}/{key}", sha256)


def _client() -> Any:
    """The storage as Snakemake's S3 plugin sees it."""
    import boto3

    chosen = {
        name: os.environ[variable] for name, variable in S3_SETTINGS.items() if os.environ.get(variable)
    }
    return boto3.resource("s3", **chosen).meta.client  # type: ignore[call-overload]

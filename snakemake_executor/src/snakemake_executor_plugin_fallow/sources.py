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
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fallow.errors import NotAvailableError
from snakemake_executor_plugin_fallow.job.fallow_job import S3_SETTINGS
from snakemake_executor_plugin_fallow.payload import Sources
from snakemake_executor_plugin_fallow.used import used

log = logging.getLogger(__name__)

FOLDER = ".fallow/sources"
RENEWED_AFTER = timedelta(days=1)
KEPT = timedelta(days=30)
"""So long after its last use an archive may be deleted; no job waits and runs longer than that."""


def pack(workflow: Any) -> bytes:
    """All that jobs need of the workflow, as a tar.xz of the same bytes whenever it holds the same.

    That is what Snakemake would deploy, and what `used` found: without version control Snakemake knows of few files.
    """
    packed, directory = io.BytesIO(), Path.cwd()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=packed, mode="w:xz") as made:
        path = Path(folder) / "sources.tar.xz"
        workflow.write_source_archive(path)
        with tarfile.open(path) as given:
            members = {member.name: (member, _content(given, member)) for member in given.getmembers()}
        for name in used(workflow, directory):
            if str(name) not in members:
                members[str(name)] = _packed(directory / name, str(name))
        for _, (member, content) in sorted(members.items()):
            plain = tarfile.TarInfo(member.name)
            plain.size, plain.mode = member.size, member.mode & 0o755
            plain.type, plain.linkname = member.type, member.linkname
            made.addfile(plain, io.BytesIO(content))
    return packed.getvalue()


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member) if member.isfile() else None
    return stream.read() if stream else b""


def _packed(file: Path, name: str) -> tuple[tarfile.TarInfo, bytes]:
    """A file as a member of an archive, with the permissions that count."""
    content, member = file.read_bytes(), tarfile.TarInfo(name)
    member.size, member.mode = len(content), file.stat().st_mode
    return member, content


def publish(archive: bytes, prefix: str, environment: Mapping[str, str] = os.environ) -> Sources:
    """Put an archive below the workflow's storage prefix, unless it is there; let go of those that nobody uses.

    Args:
        archive: What `pack` made.
        prefix: The default storage prefix, `s3://BUCKET/FOLDER`.
        environment: Names the storage and the keys, where the workflow brings its own.

    Raises:
        NotAvailableError: The storage does not take it.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        try:
            return _publish(archive, prefix, _client(environment))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "NoSuchBucket":
                raise
            store = _client(environment)
            store.create_bucket(Bucket=urlsplit(prefix).netloc)  # as Snakemake's S3 plugin does
            return _publish(archive, prefix, store)
    except (BotoCoreError, ClientError) as error:
        raise NotAvailableError(
            f"The workflow's sources cannot be put into {prefix}: {error}", retryable=True
        ) from error


def _publish(archive: bytes, prefix: str, store: Any) -> Sources:
    place = urlsplit(prefix)
    folder = "/".join(filter(None, (place.path.strip("/"), FOLDER)))
    sha256 = hashlib.sha256(archive).hexdigest()
    key = f"{folder}/{sha256}.tar.xz"
    now = datetime.now(UTC)
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


def _client(environment: Mapping[str, str]) -> Any:
    """The storage as Snakemake's S3 plugin sees it."""
    import boto3

    chosen = {
        name: environment[variable] for name, variable in S3_SETTINGS.items() if environment.get(variable)
    }
    return boto3.resource("s3", **chosen).meta.client  # type: ignore[call-overload]

"""Uploading files into a user's storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Optional

from fallow.errors import NotAvailableError, UsageError

if TYPE_CHECKING:
    from fallow.messages import StorageAccess


def keys(files: Iterable[Path], to: str) -> Iterator[tuple[Path, str]]:
    """Each file with the name that it gets, relative to the user's prefix; directories are walked.

    Raises:
        UsageError: A file is named by an absolute path or one with `..`, or `to` is: where it belongs cannot be told.
    """
    folder = PurePosixPath(to)
    for named in files:
        if any(path.is_absolute() or ".." in path.parts for path in (named, folder)):
            raise UsageError(
                f"{named} to {to or 'the top'}: absolute paths and '..' have no place there.",
                remedy="Use relative paths.",
            )
        for path in sorted(named.rglob("*")) if named.is_dir() else [named]:
            if path.is_file():
                yield path, str(folder / PurePosixPath(path.as_posix()))


def upload(access: StorageAccess, files: Iterable[Path], to: str, *, ca_file: Optional[Path]) -> int:  # noqa: UP045
    """Upload `files` below the folder `to` of the user's prefix; returns how many.

    Raises:
        NotAvailableError: boto3 is not installed, or the store does not answer or refuses.
        UsageError: A name does not fit.
    """
    try:
        import boto3
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise NotAvailableError(
            "boto3 is not installed.", remedy="Install it with: pip install boto3"
        ) from error
    client = boto3.client(
        "s3",
        endpoint_url=access.endpoint,
        region_name=access.region,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
        aws_session_token=access.session_token or None,
        verify=str(ca_file) if ca_file else None,
    )
    count = 0
    for path, key in keys(files, to):
        try:
            client.upload_file(str(path), access.bucket, access.prefix.rstrip("/") + "/" + key)
        except (S3UploadFailedError, BotoCoreError) as error:
            raise NotAvailableError(f"{path} could not be uploaded: {error}", retryable=True) from error
        count += 1
    return count

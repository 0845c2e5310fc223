"""Files to and from a user's storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from fallow.errors import NotAvailableError, UsageError

if TYPE_CHECKING:
    from fallow.messages import StorageAccess


def keys(files: Iterable[Path], to: str) -> Iterator[tuple[Path, str]]:
    """Each file with the name that it gets, relative to the user's prefix; directories are walked.

    Raises:
        UsageError: A file is named by an absolute path or one with `..`, or `to` is: where it belongs is unclear.
    """
    for named in files:
        _relative(named, to)
        for path in sorted(named.rglob("*")) if named.is_dir() else [named]:
            if path.is_file():
                yield path, str(PurePosixPath(to) / PurePosixPath(path.as_posix()))


def upload(access: StorageAccess, files: Iterable[Path], to: str, *, ca_file: Path | None) -> int:
    """Upload `files` below the folder `to` of the user's prefix; returns how many.

    Raises:
        NotAvailableError: boto3 is not installed, or the store does not answer or refuses.
        UsageError: A name does not fit.
    """
    count = 0
    with _client(access, ca_file) as client:
        for path, key in keys(files, to):
            client.upload_file(str(path), access.bucket, _full(access, key))
            count += 1
    return count


def download(access: StorageAccess, names: Iterable[Path], source: str, *, ca_file: Path | None) -> int:
    """Download files and folders below the folder `source` of the user's prefix under their relative names here.

    Returns how many files came; a file that is here is replaced when its new content is complete.

    Raises:
        NotAvailableError: boto3 is not installed, or the store does not answer or refuses.
        UsageError: A name does not fit, or nothing has it.
    """
    top = _full(access, source) + "/" if source else access.prefix
    count = 0
    with _client(access, ca_file) as client:
        for name in names:
            _relative(name, source)
            found = list(_below(client, access.bucket, top + name.as_posix()))
            if not found:
                raise UsageError(
                    f"Nothing in your storage is called {top}{name}.", remedy="Look at its name again."
                )
            for key in found:
                place = Path(*PurePosixPath(key.removeprefix(top)).parts)
                _relative(place, "")
                place.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(access.bucket, key, str(place))
                count += 1
    return count


def put_object(access: StorageAccess, key: str, text: str, *, ca_file: Path | None) -> None:
    """Write a small object, whole or not at all.

    Raises:
        NotAvailableError: boto3 is not installed, or the store does not answer or refuses.
    """
    with _client(access, ca_file) as client:
        client.put_object(Bucket=access.bucket, Key=key, Body=text.encode())


def get_object(access: StorageAccess, key: str, *, ca_file: Path | None) -> bytes | None:
    """A small object, or None if there is none.

    Raises:
        NotAvailableError: boto3 is not installed, or the store does not answer or refuses.
    """
    with _client(access, ca_file) as client:
        try:
            body: bytes = client.get_object(Bucket=access.bucket, Key=key)["Body"].read()
        except client.exceptions.NoSuchKey:
            return None
    return body


def has_object(access: StorageAccess, key: str, *, ca_file: Path | None) -> bool:
    """Whether there is an object.

    Raises:
        NotAvailableError: boto3 is not installed, or the store does not answer or refuses.
    """
    with _client(access, ca_file) as client:
        found = client.list_objects_v2(Bucket=access.bucket, Prefix=key, MaxKeys=1).get("Contents", [])
    return any(one["Key"] == key for one in found)


def remove_object(access: StorageAccess, key: str, *, ca_file: Path | None) -> None:
    """Remove an object, if it is there.

    Raises:
        NotAvailableError: boto3 is not installed, or the store does not answer or refuses.
    """
    with _client(access, ca_file) as client:
        client.delete_object(Bucket=access.bucket, Key=key)


def _below(client: Any, bucket: str, key: str) -> Iterator[str]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key):
        for found in page.get("Contents", []):
            if found["Key"] == key or found["Key"].startswith(key.rstrip("/") + "/"):
                yield found["Key"]


def _relative(path: Path, folder: str) -> None:
    if any(part.is_absolute() or ".." in part.parts for part in (path, PurePosixPath(folder))):
        raise UsageError(
            f"{path} in {folder or 'the top folder'}: absolute paths and '..' have no place there.",
            remedy="Use relative paths.",
        )


def _full(access: StorageAccess, key: str) -> str:
    return access.prefix.rstrip("/") + "/" + key


@contextmanager
def _client(access: StorageAccess, ca_file: Path | None) -> Iterator[Any]:
    try:
        import boto3
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise NotAvailableError(
            "boto3 is not installed.", remedy="Install it with: pip install boto3"
        ) from error
    try:
        yield boto3.client(
            "s3",
            endpoint_url=access.endpoint,
            region_name=access.region,
            aws_access_key_id=access.access_key,
            aws_secret_access_key=access.secret_key,
            aws_session_token=access.session_token or None,
            verify=str(ca_file) if ca_file else None,
        )
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise NotAvailableError(f"The storage did not do it: {error}", retryable=True) from error

"""The federation's S3 store: short-lived access to a user's own bucket, presigned URLs for images."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tomllib
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from fallow.errors import NotAvailableError, SettingsError
from fallow.messages import StorageAccess
from fallow_matcher.settings import StorageSettings, require_private

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

USER_FOLDER = "data/"
"""Where a user's objects begin in the user's bucket. Beside it lies one object of the hub's, so that the bucket
is never empty: some clients delete a bucket that is."""
MARKER = ".fallow"
SHORTEST_S = 900
"""Temporary credentials are good for at least so many seconds: S3's own rule, also when the token ends sooner."""

OBJECT_ACTIONS = (
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)
BUCKET_ACTIONS = ("s3:ListBucket", "s3:GetBucketLocation")


def user_bucket(bucket: str, user: str) -> str:
    """The bucket of one user: what is readable of the name, and a digest that makes it nobody else's.

    Args:
        bucket: The federation's bucket, which the name begins with.
        user: `<centre>.<name>`.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", user)[: 63 - len(bucket) - 18].strip("-")
    return "-".join(
        part for part in (bucket, readable, hashlib.sha256(user.encode()).hexdigest()[:16]) if part
    )


def checksum(digest: str) -> str:
    """A digest as S3 writes checksums: Base64."""
    return base64.b64encode(bytes.fromhex(digest.removeprefix("sha256:"))).decode("ascii")


def image_key(digest: str) -> str:
    """The object of an image: `images/sha256-<hex>.sif`."""
    return f"images/{digest.replace(':', '-')}.sif"


def session_policy(bucket: str, prefix: str) -> str:
    """What temporary credentials may do: everything below `prefix`, and list the bucket; nothing else.

    The listing is not narrowed to the prefix: S3 knows only one right for it and for asking whether a bucket
    exists, and storage clients ask. That is why each user has a bucket.
    """
    statements = [
        {"Effect": "Allow", "Action": list(OBJECT_ACTIONS), "Resource": [f"arn:aws:s3:::{bucket}/{prefix}*"]},
        {"Effect": "Allow", "Action": list(BUCKET_ACTIONS), "Resource": [f"arn:aws:s3:::{bucket}"]},
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


class Store:
    """The S3 store as the hub uses it, with the hub's own keys.

    Args:
        settings: Where it is; the keys are read from `keys_file` now.

    Raises:
        SettingsError: The keys file is missing, readable by others, or lacks a key.
    """

    def __init__(self, settings: StorageSettings) -> None:
        require_private(settings.keys_file, "storage.keys_file")
        try:
            keys = tomllib.loads(settings.keys_file.read_text(encoding="utf-8"))
            self._keys = {
                "aws_access_key_id": str(keys["access_key"]),
                "aws_secret_access_key": str(keys["secret_key"]),
            }
        except (KeyError, ValueError) as error:
            raise SettingsError(
                f"{settings.keys_file} does not hold access_key and secret_key.",
                remedy='Write access_key = "…" and secret_key = "…", mode 0600.',
                setting="storage.keys_file",
            ) from error
        self._settings = settings
        self._clients: dict[str, Any] = {}
        self._ready: set[str] = set()

    def access(self, user: str, below: str, life_s: int) -> StorageAccess:
        """Temporary credentials for a user's own objects; the bucket is made when it is missing.

        Args:
            user: `<centre>.<name>`.
            below: Path below the user's own folder, `""` or ending in a slash.
            life_s: Seconds that they are good for.

        Raises:
            NotAvailableError: The store does not answer.
        """
        bucket = user_bucket(self._settings.bucket, user)
        prefix = USER_FOLDER + below
        self.ensure(bucket)
        given = self.call(
            lambda: self.client("sts").assume_role(
                RoleArn=self._settings.role,
                RoleSessionName=user[:64],
                DurationSeconds=life_s,
                Policy=session_policy(bucket, prefix),
            )
        )["Credentials"]
        expires: datetime = given["Expiration"]
        return StorageAccess(
            endpoint=self._settings.endpoint,
            region=self._settings.region,
            bucket=bucket,
            prefix=prefix,
            access_key=given["AccessKeyId"],
            secret_key=given["SecretAccessKey"],
            session_token=given["SessionToken"],
            expires=expires,
        )

    def image_bytes(self, digest: str) -> int | None:
        """The size of an image, or None when there is none."""
        from botocore.exceptions import ClientError

        def head() -> int | None:
            try:
                found = self.client("s3").head_object(Bucket=self._settings.bucket, Key=image_key(digest))
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return None
                raise
            return int(found["ContentLength"])

        return self.call(head)

    def image_is_sound(self, digest: str) -> bool:
        """Whether the bytes of an image have its digest: the store says so, or they are read again."""
        place = {"Bucket": self._settings.bucket, "Key": image_key(digest)}

        def look() -> bool:
            found = self.client("s3").head_object(**place, ChecksumMode="ENABLED")
            if "ChecksumSHA256" in found:
                return bool(found["ChecksumSHA256"] == checksum(digest))
            seen = hashlib.sha256()
            for chunk in self.client("s3").get_object(**place)["Body"].iter_chunks(1 << 20):
                seen.update(chunk)
            return f"sha256:{seen.hexdigest()}" == digest

        return self.call(look)

    def remove_image(self, digest: str) -> None:
        """Delete an image; nothing happens where there is none."""
        self.call(
            lambda: self.client("s3").delete_object(Bucket=self._settings.bucket, Key=image_key(digest))
        )

    def image_url(self, digest: str, operation: str, life_s: int) -> str:
        """A presigned URL.

        One to write is good with the header `If-None-Match: *` only, so it never replaces anything, and with the digest as
        `x-amz-checksum-sha256`, which the store holds against what comes: nothing else can be put under the digest's name.

        Args:
            digest: The image's digest.
            operation: `get_object` or `put_object`.
            life_s: Seconds that the URL is good for.
        """
        writes = operation == "put_object"
        once = {"IfNoneMatch": "*", "ChecksumSHA256": checksum(digest)} if writes else {}
        url: str = self.client("s3").generate_presigned_url(
            operation,
            Params={"Bucket": self._settings.bucket, "Key": image_key(digest), **once},
            ExpiresIn=life_s,
        )
        return url

    def ensure(self, bucket: str) -> None:
        """Make a bucket if it is missing.

        Raises:
            NotAvailableError: The store does not answer.
        """
        if bucket not in self._ready:
            self.call(lambda: self._make(bucket))
            self._ready.add(bucket)

    def _make(self, bucket: str) -> None:
        client = self.client("s3")
        try:
            client.create_bucket(Bucket=bucket)
        except (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            client.head_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key=MARKER, Body=b"")

    def client(self, service: str) -> Any:
        """A client of one of the store's services, with the hub's keys."""
        if service not in self._clients:
            import boto3
            from botocore.config import Config

            make: Any = boto3.client
            self._clients[service] = make(
                service,
                endpoint_url=self._settings.endpoint,
                region_name=self._settings.region,
                verify=str(self._settings.ca_file) if self._settings.ca_file else None,
                config=Config(
                    signature_version="v4" if service == "sts" else "s3v4",
                    s3={"addressing_style": "path"},
                    connect_timeout=5,
                    read_timeout=20,
                    retries={"max_attempts": 2, "mode": "standard"},
                ),
                **self._keys,
            )
        return self._clients[service]

    def call(self, call: Callable[[], T]) -> T:
        """What a call of a client gives.

        Raises:
            NotAvailableError: The store does not answer, or does not do it.
        """
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call()
        except (Boto3Error, BotoCoreError, ClientError) as error:
            raise NotAvailableError(
                f"The storage at {self._settings.endpoint} does not answer as it should.", retryable=True
            ) from error

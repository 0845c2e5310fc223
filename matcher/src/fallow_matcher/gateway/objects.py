"""Users' objects as the hub sees them: what is there, and access to single ones of them for a while."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fallow.storage.failures import StagingError, Trouble
from fallow.storage.grants import Keys, Signed
from fallow.storage.objects import PART_BYTES
from fallow_matcher.gateway.s3 import USER_FOLDER, Store, user_bucket
from fallow_matcher.gateway.webidentity import WebIdentity
from fallow_matcher.settings import HubSettings

READ = ("s3:GetObject",)
WRITE = ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
MOST_PARTS = 9_000
"""S3 takes 10,000."""


@dataclass(frozen=True)
class Found:
    """An object that is there."""

    bytes: int
    etag: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class Objects:
    """Users' objects.

    Args:
        settings: The hub's settings.
        store: The store, with the hub's keys.
    """

    def __init__(self, settings: HubSettings, store: Store) -> None:
        self._storage = settings.storage
        self._store = store
        self._identity = WebIdentity(settings)

    def find(self, user: str, key: str) -> Found | None:
        """A user's own object, or None when there is none.

        Raises:
            NotAvailableError: The store does not answer.
        """
        from botocore.exceptions import ClientError

        bucket = user_bucket(self._storage.bucket, user)

        def head() -> Found | None:
            try:
                found = self._store.client("s3").head_object(Bucket=bucket, Key=USER_FOLDER + key)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return None
                raise
            return Found(int(found["ContentLength"]), found["ETag"].strip('"'), found.get("Metadata", {}))

        return self._store.call(head)

    def wanted(self, user: str, key: str, url: str) -> Found:
        """A user's own object that has to be there.

        Raises:
            StagingError: It is not.
            NotAvailableError: The store does not answer.
        """
        found = self.find(user, key)
        if found is None:
            raise StagingError(Trouble.MISSING, f"There is no input {url}.")
        return found

    def keys(self, user: str, read: Sequence[str], write: Sequence[str], life_s: int) -> Keys:
        """Temporary keys for single objects of a user: these, and nothing else.

        Args:
            user: `<centre>.<name>`.
            read: Keys below the user's own folder that may be read.
            write: The same, that may be written.
            life_s: Seconds that they are good for.

        Raises:
            NotAvailableError: The store does not answer, or has no STS.
        """
        bucket = user_bucket(self._storage.bucket, user)
        self._store.ensure(bucket)
        about: dict[str, Any] = {
            "RoleSessionName": user[:64],
            "DurationSeconds": life_s,
            "Policy": job_policy(bucket, read, write),
        }
        if self._storage.jobs == "web-identity":
            token = self._identity.token(user, life_s)
            given = self._store.call(
                lambda: self._store.client("sts").assume_role_with_web_identity(
                    RoleArn=self._storage.job_role, WebIdentityToken=token, **about
                )
            )["Credentials"]
        else:
            given = self._store.call(
                lambda: self._store.client("sts").assume_role(RoleArn=self._storage.role, **about)
            )["Credentials"]
        return Keys(
            access_key=given["AccessKeyId"],
            secret_key=given["SecretAccessKey"],
            session_token=given["SessionToken"],
            expires=given["Expiration"],
        )

    def to_read(self, user: str, key: str, life_s: int) -> Signed:
        """A signed URL to read a user's object."""
        return Signed(url=self._sign("get_object", self._named(user, key), life_s))

    def to_write(
        self, user: str, key: str, size: int, sha256: str, metadata: Mapping[str, str], life_s: int
    ) -> Signed:
        """Signed URLs to write a user's object: of that size, digest and metadata, and no other.

        Raises:
            NotAvailableError: The store does not answer.
        """
        about = self._named(user, key)
        self._store.ensure(about["Bucket"])
        if size > PART_BYTES:
            return self._in_parts(about, size, metadata, life_s)
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        headers = {f"x-amz-meta-{name}": text for name, text in metadata.items()}
        headers |= {"x-amz-checksum-sha256": checksum, "Content-Length": str(size)}
        params = {**about, "Metadata": dict(metadata), "ChecksumSHA256": checksum, "ContentLength": size}
        return Signed(url=self._sign("put_object", params, life_s), headers=headers)

    def _in_parts(self, about: dict[str, Any], size: int, metadata: Mapping[str, str], life_s: int) -> Signed:
        begun = self._store.call(
            lambda: self._store.client("s3").create_multipart_upload(**about, Metadata=dict(metadata))
        )
        upload = {**about, "UploadId": begun["UploadId"]}
        part_bytes = max(PART_BYTES, -(-size // MOST_PARTS))
        count = -(-size // part_bytes)
        return Signed(
            parts=[
                self._sign("upload_part", {**upload, "PartNumber": number}, life_s)
                for number in range(1, count + 1)
            ],
            part_bytes=part_bytes,
            complete=self._sign("complete_multipart_upload", upload, life_s),
        )

    def _named(self, user: str, key: str) -> dict[str, Any]:
        return {"Bucket": user_bucket(self._storage.bucket, user), "Key": USER_FOLDER + key}

    def _sign(self, operation: str, params: Mapping[str, Any], life_s: int) -> str:
        url: str = self._store.client("s3").generate_presigned_url(
            operation, Params=dict(params), ExpiresIn=life_s
        )
        return url


def job_policy(bucket: str, read: Sequence[str], write: Sequence[str]) -> str:
    """What temporary keys of a job may do."""

    def statement(actions: Sequence[str], keys: Sequence[str]) -> dict[str, Any]:
        names = [f"arn:aws:s3:::{bucket}/{USER_FOLDER}{key}" for key in keys]
        return {"Effect": "Allow", "Action": list(actions), "Resource": names}

    statements = [statement(READ, read)] if read else []
    statements += [statement(WRITE, write)] if write else []
    return json.dumps({"Version": "2012-10-17", "Statement": statements})

"""Objects of a grant, read and written: with temporary keys (boto3), or by signed URLs. Both know nothing of retries."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Callable, Protocol, TypeVar
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from fallow.storage.failures import StagingError, Trouble, by_answer, by_client_error
from fallow.storage.grants import Grant, Keys, StagedFile

CHUNK_BYTES = 1 << 20
PART_BYTES = 16 << 20
"""Larger files are written in parts of this size, two at a time: they are kept in memory here and there."""
ATTEMPTS = 5
"""Of one request, before a file is begun again where it can be."""
CONNECT_S = 10
SILENCE_S = 30
"""A store that sends or takes nothing for so long is asked again."""
CONNECTIONS = 16

T = TypeVar("T")


class Objects(Protocol):
    """How the objects of a grant are reached."""

    def read(self, file: StagedFile, start: int, take: Callable[[bytes], None]) -> None:
        """Hand over the content from a byte on, while it is the content that was granted.

        Raises:
            StagingError: It cannot be had.
        """

    def write(self, file: StagedFile, stream: IO[bytes]) -> None:
        """Make the stream's content the object: all of it at once, or not at all.

        Raises:
            StagingError: The store does not take it, or what arrived is something else.
        """


def objects_of(
    grant: Grant, renew: Callable[[], Grant], ca_file: str | None = None, proxy: str | None = None
) -> Objects:
    """How to reach the objects of a grant.

    Args:
        grant: What the hub answered.
        renew: Asks the hub for the same once more; called when the keys are about to expire.
        ca_file: Who vouches for the store's certificate, where no public authority does.
        proxy: HTTP proxy on the way to the store.
    """
    if grant.keys is not None:
        return Keyed(grant, renew, ca_file, proxy)
    return ByUrl(ca_file, proxy, grant.patience_s)


class ByUrl:
    """Objects by signed URLs: whoever moves them holds no key at all."""

    def __init__(self, ca_file: str | None, proxy: str | None, patience_s: float) -> None:
        import requests
        from requests.adapters import HTTPAdapter

        self._silence_s = min(SILENCE_S, max(1, patience_s))
        self._web = requests.Session()
        self._web.trust_env = False
        self._web.verify = ca_file or True
        self._web.proxies = {"http": proxy, "https": proxy} if proxy else {}
        adapter = HTTPAdapter(pool_connections=2, pool_maxsize=CONNECTIONS)
        for scheme in ("https://", "http://"):
            self._web.mount(scheme, adapter)

    def read(self, file: StagedFile, start: int, take: Callable[[bytes], None]) -> None:
        """Hand over the content from a byte on."""
        self._read(file, _signed(file).url, start, take)

    def _read(self, file: StagedFile, url: str, start: int, take: Callable[[bytes], None]) -> None:
        headers = {"Accept-Encoding": "identity"}
        if file.etag:
            headers["If-Match"] = f'"{file.etag}"'
        if start:
            headers["Range"] = f"bytes={start}-"
        with self._sent("GET", file, url, headers=headers, stream=True) as answer:
            for chunk in answer.iter_content(CHUNK_BYTES):
                take(chunk)

    def write(self, file: StagedFile, stream: IO[bytes]) -> None:
        """Store it in one request, or in parts."""
        signed = _signed(file)
        if not signed.parts:
            body: Any = stream if file.bytes else b""
            with self._sent("PUT", file, signed.url, headers=signed.headers, data=body):
                return
        tags = []
        for url in signed.parts:
            part = io.BytesIO(stream.read(signed.part_bytes))
            with self._sent("PUT", file, url, data=part) as answer:
                tags.append(answer.headers.get("ETag", ""))
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(tag)}</ETag></Part>"
            for number, tag in enumerate(tags, 1)
        )
        text = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
        with self._sent("POST", file, signed.complete, data=text.encode()) as answer:
            if b"<Error>" in answer.content:  # S3 may say so after it has begun to say 200
                raise StagingError(Trouble.AWAY, f"The store did not put {file.url} together.")

    @contextmanager
    def _sent(self, method: str, file: StagedFile, url: str, **more: Any) -> Iterator[Any]:
        import requests

        try:
            with self._web.request(
                method, url, allow_redirects=False, timeout=(CONNECT_S, self._silence_s), **more
            ) as answer:
                if not 200 <= answer.status_code < 300:
                    code = _code(answer.content[:4096])
                    raise _refused(file, by_answer(answer.status_code, code), code or str(answer.status_code))
                yield answer
        except requests.RequestException as error:
            # The exception's text holds the signed URL, which is as good as a password.
            raise _away(file, error) from None


class Keyed(ByUrl):
    """Objects by temporary keys, through boto3, which renews them while they are in use.

    They are read by URLs that boto3 signs here: a GET by boto3 itself takes three times the processor.
    """

    def __init__(
        self, grant: Grant, renew: Callable[[], Grant], ca_file: str | None, proxy: str | None
    ) -> None:
        super().__init__(ca_file, proxy, grant.patience_s)
        import boto3
        from boto3.s3.transfer import TransferConfig
        from botocore.config import Config
        from botocore.session import get_session

        core = get_session()
        core.get_component("credential_provider").insert_before("env", _provider(grant, renew))
        self._client: Any = boto3.Session(botocore_session=core).client(
            "s3",
            endpoint_url=grant.endpoint,
            region_name=grant.region,
            verify=ca_file,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                connect_timeout=CONNECT_S,
                read_timeout=self._silence_s,
                max_pool_connections=CONNECTIONS,
                retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
                proxies={"http": proxy, "https": proxy} if proxy else None,
            ),
        )
        self._parts = TransferConfig(
            multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=2
        )

    def read(self, file: StagedFile, start: int, take: Callable[[bytes], None]) -> None:
        """Hand over the content from a byte on."""
        place = {"Bucket": file.bucket, "Key": file.key}
        self._read(file, self._client.generate_presigned_url("get_object", Params=place), start, take)

    def write(self, file: StagedFile, stream: IO[bytes]) -> None:
        """Store it: in one request whose digest the store compares, or in parts of which it compares each."""
        about = {"Bucket": file.bucket, "Key": file.key}
        if file.bytes <= PART_BYTES:
            _asked(
                file,
                lambda: self._client.put_object(
                    **about,
                    Body=stream,
                    Metadata=file.metadata,
                    ChecksumSHA256=base64.b64encode(bytes.fromhex(file.sha256)).decode(),
                ),
            )
            return
        extra = {"Metadata": file.metadata, "ChecksumAlgorithm": "CRC32"}
        _asked(
            file,
            lambda: self._client.upload_fileobj(
                stream, file.bucket, file.key, ExtraArgs=extra, Config=self._parts
            ),
        )


def _signed(file: StagedFile) -> Any:
    if file.signed is None:
        raise StagingError(Trouble.DENIED, f"The hub gave no way to {file.url}.")
    return file.signed


def _asked(file: StagedFile, call: Callable[[], T]) -> T:
    """What a call of boto3 gives; its errors as ours."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return call()
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code") or "")
        raise _refused(file, by_client_error(error), code) from error
    except (BotoCoreError, Boto3Error) as error:
        raise _away(file, error) from error


def _refused(file: StagedFile, trouble: Trouble, code: str) -> StagingError:
    words = {
        Trouble.MISSING: f"There is no {file.url}",
        Trouble.CHANGED: f"{file.url} was replaced while the job wanted it",
        Trouble.CORRUPT: f"{file.url} did not arrive as it was sent",
        Trouble.FULL: f"The store has no space for {file.url}",
    }
    return StagingError(trouble, f"{words.get(trouble, f'The store refuses {file.url}')} ({code}).")


def _away(file: StagedFile, error: Exception) -> StagingError:
    late = "Timeout" in type(error).__name__
    return StagingError(
        Trouble.SLOW if late else Trouble.AWAY,
        f"The store does not {'go on' if late else 'answer'} about {file.url} ({type(error).__name__}).",
    )


def _code(body: bytes) -> str:
    """The code in S3's answer to a refused request."""
    try:
        return str(ElementTree.fromstring(body).findtext("Code") or "")[:60]  # noqa: S314 - small and from our store
    except ElementTree.ParseError:
        return ""


def _provider(grant: Grant, renew: Callable[[], Grant]) -> Any:
    """What botocore asks for credentials."""
    from botocore.credentials import CredentialProvider, RefreshableCredentials

    class Granted(CredentialProvider):
        METHOD = "fallow"

        def load(self) -> Any:
            return RefreshableCredentials.create_from_metadata(
                metadata=_metadata(grant.keys),
                refresh_using=lambda: _metadata(renew().keys),
                method=self.METHOD,
                advisory_timeout=300,
                mandatory_timeout=120,
            )

    return Granted()


def _metadata(keys: Keys | None) -> dict[str, str]:
    if keys is None:
        raise StagingError(Trouble.DENIED, "The hub gave no keys.")
    return {
        "access_key": keys.access_key,
        "secret_key": keys.secret_key,
        "token": keys.session_token,
        "expiry_time": keys.expires.isoformat(),
    }

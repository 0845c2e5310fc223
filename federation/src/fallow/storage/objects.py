"""Objects of a grant, read and written: with temporary keys, or by signed URLs. Both know nothing of retries."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from typing import IO, Any, Callable, Protocol
from urllib.parse import quote
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


def objects_of(grant: Grant, renew: Callable[[], Grant], ca_file: str | None = None) -> Objects:
    """How to reach the objects of a grant.

    Args:
        grant: What the hub answered.
        renew: Asks the hub for the same once more; called when the keys are about to expire.
        ca_file: Who vouches for the store's certificate, where no public authority does.
    """
    web = _Web(ca_file, min(SILENCE_S, max(1, grant.patience_s)))
    return ByUrl(web) if grant.keys is None else Keyed(web, grant, renew)


class _Web:
    """The store's connections. A small file costs little but its request, so no more is done for one than must be."""

    def __init__(self, ca_file: str | None, silence_s: float) -> None:
        import certifi
        import urllib3

        self.ca_file, self.silence_s = ca_file, silence_s
        settings: dict[str, Any] = {
            "maxsize": CONNECTIONS,
            "retries": False,
            "timeout": urllib3.Timeout(connect=CONNECT_S, read=silence_s),
            "cert_reqs": "CERT_REQUIRED",
            "ca_certs": ca_file or certifi.where(),
        }
        self._pool = urllib3.PoolManager(**settings)
        self._places: dict[str, Any] = {}

    @contextmanager
    def sent(
        self, method: str, file: StagedFile, url: str, headers: Mapping[str, str], body: Any = None
    ) -> Iterator[Any]:
        """What the store answers, to be read.

        Raises:
            StagingError: It refuses, or does not answer.
        """
        from urllib3.exceptions import HTTPError

        try:
            place, path = _origin(url)
            if place not in self._places:
                self._places[place] = self._pool.connection_from_url(place)
            answer = self._places[place].urlopen(
                method, path, body=body, headers=dict(headers), redirect=False, preload_content=False
            )
            try:
                if not 200 <= answer.status < 300:
                    code = _code(answer.read(4096))
                    raise _refused(file, by_answer(answer.status, code), code or str(answer.status))
                yield answer
            finally:
                answer.close()  # where all was read, the connection is kept
        except (HTTPError, HTTPException) as error:  # what else comes is our own, such as a full disk
            # The exception's text holds the signed URL, which is as good as a password.
            raise _away(file, error) from None

    def read(
        self, file: StagedFile, url: str, headers: Mapping[str, str], take: Callable[[bytes], None]
    ) -> None:
        """Hand over what the store sends."""
        with self.sent("GET", file, url, headers) as answer:
            while chunk := answer.read(CHUNK_BYTES):
                take(chunk)

    def write(
        self, file: StagedFile, url: str, headers: Mapping[str, str], body: Any, size: int
    ) -> Mapping[str, str]:
        """Send a body of a size; what the store says of it."""
        headers = {**headers, "Content-Length": str(size)}
        # in one piece where it is small: a stream goes in pieces of 16 kB
        small = body.read() if size <= CHUNK_BYTES and not isinstance(body, bytes) else body
        with self.sent("PUT", file, url, headers, small) as answer:
            answer.read()
            found: Mapping[str, str] = answer.headers
            return found


class ByUrl:
    """Objects by signed URLs: whoever moves them holds no key at all."""

    def __init__(self, web: _Web) -> None:
        self._web = web

    def read(self, file: StagedFile, start: int, take: Callable[[bytes], None]) -> None:
        """Hand over the content from a byte on."""
        self._web.read(file, _signed(file).url, _wanted(file, start), take)

    def write(self, file: StagedFile, stream: IO[bytes]) -> None:
        """Store it in one request, or in parts."""
        signed = _signed(file)
        if not signed.parts:
            self._web.write(file, signed.url, signed.headers, stream, file.bytes)
            return
        tags = []
        for url in signed.parts:
            part = stream.read(signed.part_bytes)
            tags.append(self._web.write(file, url, {}, part, len(part)).get("ETag", ""))
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(tag)}</ETag></Part>"
            for number, tag in enumerate(tags, 1)
        )
        text = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
        with self._web.sent("POST", file, signed.complete, {}, text.encode()) as answer:
            if b"<Error>" in answer.read():  # S3 may say so after it has begun to say 200
                raise StagingError(Trouble.AWAY, f"The store did not put {file.url} together.")


class Keyed:
    """Objects by temporary keys, which are renewed while they are in use.

    botocore signs each request, and boto3 sends what goes in parts.
    """

    def __init__(self, web: _Web, grant: Grant, renew: Callable[[], Grant]) -> None:
        self._web = web
        self._grant = grant
        self._credentials = _credentials(grant, renew)

    def read(self, file: StagedFile, start: int, take: Callable[[bytes], None]) -> None:
        """Hand over the content from a byte on."""
        from fallow.storage.signature import signed

        url = self._url(file)
        headers = signed(self._credentials, self._grant.region, "GET", url, _wanted(file, start))
        self._web.read(file, url, headers, take)

    def write(self, file: StagedFile, stream: IO[bytes]) -> None:
        """Store it: in one request whose digest the store compares, or in parts of which it compares each."""
        from fallow.storage.signature import signed

        if file.bytes > PART_BYTES:
            self._write_parts(file, stream)
            return
        url, headers = self._url(file), {f"x-amz-meta-{name}": text for name, text in file.metadata.items()}
        headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(file.sha256)).decode()
        headers = signed(self._credentials, self._grant.region, "PUT", url, headers, file.sha256)
        self._web.write(file, url, headers, stream, file.bytes)

    def _url(self, file: StagedFile) -> str:
        return f"{self._grant.endpoint.rstrip('/')}/{file.bucket}/{quote(file.key, safe='/~')}"

    def _write_parts(self, file: StagedFile, stream: IO[bytes]) -> None:
        import boto3
        from boto3.exceptions import Boto3Error
        from boto3.s3.transfer import TransferConfig
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.session import get_session

        core = get_session()
        core.get_component("credential_provider").insert_before("env", _provider(self._credentials))
        client: Any = boto3.Session(botocore_session=core).client(
            "s3",
            endpoint_url=self._grant.endpoint,
            region_name=self._grant.region,
            verify=self._web.ca_file,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                connect_timeout=CONNECT_S,
                read_timeout=self._web.silence_s,
                max_pool_connections=CONNECTIONS,
                retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            ),
        )
        parts = TransferConfig(
            multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=2
        )
        extra = {"Metadata": file.metadata, "ChecksumAlgorithm": "CRC32"}
        try:
            client.upload_fileobj(stream, file.bucket, file.key, ExtraArgs=extra, Config=parts)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code") or "")
            raise _refused(file, by_client_error(error), code) from error
        except (BotoCoreError, Boto3Error) as error:
            raise _away(file, error) from error


def _origin(url: str) -> tuple[str, str]:
    """Scheme, host and port of a URL, and the rest of it."""
    scheme, _, host, *path = url.split("/", 3)
    return f"{scheme}//{host}", "/" + "".join(path)


def _wanted(file: StagedFile, start: int) -> dict[str, str]:
    """The headers of a request for a file's content from a byte on."""
    headers = {"Accept-Encoding": "identity"}
    if file.etag:
        headers["If-Match"] = f'"{file.etag}"'
    if start:
        headers["Range"] = f"bytes={start}-"
    return headers


def _signed(file: StagedFile) -> Any:
    if file.signed is None:
        raise StagingError(Trouble.DENIED, f"The hub gave no way to {file.url}.")
    return file.signed


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


def _credentials(grant: Grant, renew: Callable[[], Grant]) -> Any:
    """A grant's keys, and those that come after them."""
    from botocore.credentials import RefreshableCredentials

    return RefreshableCredentials.create_from_metadata(
        metadata=_metadata(grant.keys),
        refresh_using=lambda: _metadata(renew().keys),
        method="fallow",
        advisory_timeout=300,
        mandatory_timeout=120,
    )


def _provider(credentials: Any) -> Any:
    """What botocore asks for credentials."""
    from botocore.credentials import CredentialProvider

    class Granted(CredentialProvider):
        METHOD = "fallow"

        def load(self) -> Any:
            return credentials

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

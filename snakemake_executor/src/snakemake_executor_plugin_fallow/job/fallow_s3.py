"""Snakemake's S3 plugin made careful and sparing: what both sides of a workflow use in place of its storage objects.

* Nothing is uploaded without the store having compared its MD5 sum with the file's; what comes in parts is looked at again.
* A bucket is never deleted. The plugin deletes it when its last object goes, with whatever else will need it.
* Pipes and sockets are not uploaded: reading them would wait for ever.
* Files are moved several at a time.
* A store that is away for a minute or two is waited for.
* In a job (`Remembered`) nothing is asked twice: what was found is remembered, and the second question about a folder
  brings all of it. Elsewhere the storage changes while jobs run.

Only what Snakemake's S3 plugin brings (boto3) may be used: the file travels with each job.
"""

import asyncio
import base64
import hashlib
import importlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import snakemake_storage_plugin_s3 as plugin
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError
from snakemake.checkpoints import CheckpointJob
from snakemake_interface_common.exceptions import WorkflowError

# in a job the two files lie beside each other, without a package
memory = importlib.import_module(f"{__package__}.fallow_memory" if __package__ else "fallow_memory")

ATTEMPTS = 20
"""Of a request, with pauses that double up to 20 s: an outage of a minute is survived, one of five is not."""
SINGLE_PUT_BYTES = 64 << 20
"""Larger files go in parts."""
_MOST_PARTS = 9_000
_UPLOADS = 3
_THREADS = 8
_TIMESTAMP = ".snakemake_timestamp"
_MD5 = re.compile(r"[0-9a-f]{32}")
_MD5_OF_PARTS = re.compile(r"[0-9a-f]{32}-\d+")
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidToken"})

troubles: "list[str]" = []
"""How the storage failed this process: nothing that the user's rule could be blamed for."""

_files = ThreadPoolExecutor(_THREADS, "fallow-file")
_parts = ThreadPoolExecutor(_THREADS, "fallow-part")


def install(*, remember: bool) -> None:
    """Have Snakemake make our objects for `s3://` queries from now on.

    Args:
        remember: Whether answers of the storage stay true, as they do within a job.
    """
    plugin.StorageObject = Remembered if remember else Careful
    plugin.StorageProvider.__post_init__ = _patient
    CheckpointJob.__init__ = _with_outputs


def _with_outputs(job: Any, rule: Any, output: Any, original: Any = CheckpointJob.__init__) -> None:
    """`checkpoints.x.get()`: what it names must be here, for the input function will look into it."""
    original(job, rule, output)
    for file in output:
        if file.is_storage and isinstance(file.storage_object, Careful):
            file.storage_object.bring()


def _patient(provider: Any, original: Any = plugin.StorageProvider.__post_init__) -> None:
    """Open the storage, with more attempts at each request than the plugin's few."""
    provider.settings.retries = max(provider.settings.retries, ATTEMPTS)
    original(provider)


@contextmanager
def _noting() -> Iterator[None]:
    """Remember a failure that is the storage's, and let it pass."""
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= 500 or error.response.get("Error", {}).get("Code") in _EXPIRED:
            troubles.append(str(error))
        raise
    except (BotoCoreError, Boto3Error) as error:
        troubles.append(str(error))
        raise


class Careful(plugin.StorageObject):  # type: ignore[misc]
    """An object or folder of the storage. What is stored is whole, and nothing but it is ever removed."""

    _is_dir: "bool | None"

    @property
    def client(self) -> Any:
        """The storage's client, which threads may share."""
        return self.provider.s3c.meta.client

    async def managed_retrieve(self) -> None:
        """Download, while others do."""
        await _beside(_files, super().managed_retrieve)

    async def managed_store(self) -> None:
        """Upload, while others do."""
        await _beside(_files, super().managed_store)

    def exists(self) -> bool:
        """Whether there is such a file or folder."""
        with _noting():
            return bool(super().exists())

    def is_dir(self) -> bool:
        """Whether there are files below it. What was no folder may have become one since."""
        if not self._is_dir:
            self._is_dir = None
        return bool(super().is_dir())

    def mtime(self) -> float:
        """When it was stored last, in seconds of the epoch."""
        with _noting():
            return float(super().mtime())

    def size(self) -> int:
        """Bytes, of a folder the sum."""
        with _noting():
            return int(super().size())

    def retrieve_object(self) -> None:
        """Bring it to its local path."""
        with _noting():
            self.download()

    def download(self) -> None:
        """Bring the object, or all of the folder, to its local path."""
        path = self.local_path()
        if not self.is_dir():
            self.client.download_file(self.bucket, self.key, str(path))
            return
        path.mkdir(parents=True, exist_ok=True)
        wanted = {key: path / key[len(self.key) + 1 :] for key in self.below()}
        for parent in {file.parent for file in wanted.values()}:
            parent.mkdir(parents=True, exist_ok=True)
        every(lambda item: self.client.download_file(self.bucket, item[0], str(item[1])), wanted.items())

    def bring(self) -> None:
        """Have a copy here that is not older than what is stored."""
        path, modified = self.local_path(), self.mtime()
        if path.exists() and path.stat().st_mtime >= int(modified):
            return
        if path.is_dir():
            shutil.rmtree(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.retrieve_object()
        os.utime(path, (modified, modified))

    def below(self) -> "list[str]":
        """The keys of a folder's files."""
        return [item.key for item in self.get_subkeys()]

    def store_object(self) -> None:
        """Store what is at the local path: whole, or not at all."""
        path = self.local_path()
        with _noting():
            if path.is_dir():
                self._is_dir = True
                files = [file for file in path.rglob("*") if file.is_file()]
                last = [file for file in files if file.name == _TIMESTAMP]
                for some in ([file for file in files if file.name != _TIMESTAMP], last):
                    every(lambda file: self._upload(file, f"{self.key}/{file.relative_to(path)}"), some)
            elif stat.S_ISREG(path.stat().st_mode):
                self._upload(path, self.key)

    def _upload(self, path: Path, key: str) -> None:
        """Upload one file; it is there whole, or not at all."""
        for _ in range(_UPLOADS):
            if (
                self._put(path, key)
                if path.stat().st_size <= SINGLE_PUT_BYTES
                else self._put_parts(path, key)
            ):
                return
        self.client.delete_object(Bucket=self.bucket, Key=key)
        raise WorkflowError(f"{path} did not arrive whole at s3://{self.bucket}/{key}, {_UPLOADS} times.")

    def _put(self, path: Path, key: str) -> bool:
        """Upload in one request, which the store refuses unless size and MD5 sum are right."""
        content = path.read_bytes()
        sum_ = hashlib.md5(content, usedforsecurity=False)
        try:
            answer = self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=content,
                ContentMD5=base64.b64encode(sum_.digest()).decode(),
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("BadDigest", "InvalidDigest"):
                return False
            raise
        tag = answer.get("ETag", "").strip('"')
        return not _MD5.fullmatch(tag) or "SSEKMSKeyId" in answer or bool(tag == sum_.hexdigest())

    def _put_parts(self, path: Path, key: str) -> bool:
        """Upload in parts, which become an object all at once, and compare it with the file."""
        size = path.stat().st_size
        part = max(SINGLE_PUT_BYTES, -(-size // _MOST_PARTS))
        settings = TransferConfig(multipart_threshold=SINGLE_PUT_BYTES, multipart_chunksize=part)
        self.client.upload_file(str(path), self.bucket, key, Config=settings)
        found = self.client.head_object(Bucket=self.bucket, Key=key)
        tag = found.get("ETag", "").strip('"')
        if not _MD5_OF_PARTS.fullmatch(tag) or "SSEKMSKeyId" in found:
            return bool(found["ContentLength"] == size)
        return bool(found["ContentLength"] == size and tag == tag_of_parts(path, part))

    def remove(self) -> None:
        """Remove it, and leave the bucket alone also when it is empty now."""
        with _noting():
            if self.is_dir():
                every(lambda key: self.client.delete_object(Bucket=self.bucket, Key=key), self.below())
            else:
                self.client.delete_object(Bucket=self.bucket, Key=self.key)
            self._is_dir = None


_memories: "dict[tuple[int, str], Any]" = {}


class Remembered(Careful):
    """An object in a job, where nobody else changes what the job reads and makes."""

    @property
    def known(self) -> Any:
        """What is known of the object's bucket."""
        return _memories.setdefault((id(self.provider), self.bucket), memory.Memory(self.client, self.bucket))

    async def inventory(self, cache: Any) -> None:
        """Nothing: a job needs to know of few files, whatever else is beside them."""

    def bucket_exists(self) -> bool:
        """It does: the job's own sources came from it."""
        return True

    def exists(self) -> bool:
        """Whether there is such a file or folder."""
        with _noting():
            return self.known.file(self.key) is not None or bool(self.known.folder(self.key))

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.known.file(self.key) is None and bool(self.known.folder(self.key))

    def mtime(self) -> float:
        """When it was stored last, in seconds of the epoch."""
        return float(max(found.modified.timestamp() for found in self._all()))

    def size(self) -> int:
        """Bytes, of a folder the sum."""
        return sum(found.size for found in self._all())

    def below(self) -> "list[str]":
        """The keys of a folder's files."""
        return list(self.known.folder(self.key))

    def download(self) -> None:
        """Bring it, or a copy of what was made here and is not stored yet."""
        made = self._made()
        if not self.exists() and made.is_file():  # Snakemake wants a copy to take the sum of
            if made != self.local_path():
                shutil.copyfile(made, self.local_path())
        else:
            super().download()

    def store_object(self) -> None:
        """Store what is at the local path: whole, or not at all."""
        try:
            super().store_object()
        finally:
            self.known.forget(self.key)

    def remove(self) -> None:
        """Remove it."""
        try:
            super().remove()
        finally:
            self.known.forget(self.key)

    def _made(self) -> Path:
        """Where the job's rule makes it, also while Snakemake wants it elsewhere."""
        return Path(self.provider.local_prefix, self.local_suffix())

    def _all(self) -> "list[Any]":
        """What is stored; before that, what has been made: Snakemake looks at outputs before it uploads them."""
        with _noting():
            file = self.known.file(self.key)
            found = [file] if file else list(self.known.folder(self.key).values())
        if not found:
            made = self._made()
            local = [made, *made.rglob("*")] if made.is_dir() else [made]
            found = [memory.local(file) for file in local if len(local) == 1 or not file.is_dir()]
        return found


def tag_of_parts(path: Path, part_bytes: int) -> str:
    """The ETag that S3 gives an object of such parts: MD5 of the parts' MD5 sums, and their number."""
    sums = []
    with path.open("rb") as stream:
        while part := stream.read(part_bytes):
            sums.append(hashlib.md5(part, usedforsecurity=False).digest())
    return f"{hashlib.md5(b''.join(sums), usedforsecurity=False).hexdigest()}-{len(sums)}"


def every(work: Any, items: "Iterable[Any]") -> None:
    """Do `work` for all items, several at a time; the first error is raised after all have ended."""
    running = [_parts.submit(work, item) for item in items]
    errors = [error for one in running if (error := one.exception()) is not None]
    if errors:
        raise errors[0]


async def _beside(pool: ThreadPoolExecutor, managed: Any) -> None:
    """Run a coroutine that blocks in a thread of its own, so that other transfers go on."""
    await asyncio.get_running_loop().run_in_executor(pool, partial(_complete, managed))


def _complete(managed: Any) -> None:
    asyncio.run(managed())

"""What is put in place of Snakemake's S3 objects, against a real S3 server."""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import snakemake_storage_plugin_s3 as plugin
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_fallow.job import fallow_s3
from snakemake_executor_plugin_fallow.job.fallow_s3 import Careful, Remembered


@pytest.fixture
def provider(s3: str, tmp_path: Path) -> Any:
    settings = plugin.StorageProviderSettings(endpoint_url=s3, access_key="admin", secret_key="secret")
    return plugin.StorageProvider(
        local_prefix=tmp_path / "storage",
        logger=logging.getLogger("test"),
        settings=settings,
        keep_local=False,
        retrieve=True,
        is_default=True,
        wait_for_free_local_storage=None,
    )


@pytest.fixture
def store(s3: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=s3,
        aws_access_key_id="admin",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )


@pytest.fixture
def requests(provider: Any) -> Counter[str]:
    """How many requests of each kind the provider's client has sent."""
    sent: Counter[str] = Counter()
    provider.s3c.meta.client.meta.events.register(
        "before-call.s3", lambda model, **_: sent.update([model.name])
    )
    return sent


@pytest.fixture
def thing(provider: Any, tmp_path: Path) -> Callable[..., Any]:
    """`thing(name, kind)`: a storage object in this test's folder."""

    def make(name: str, kind: type[Any] = Careful, bucket: str = "users") -> Any:
        return kind(
            query=f"s3://{bucket}/{tmp_path.name}/{name}", keep_local=False, retrieve=True, provider=provider
        )

    return make


def stored(thing: Any, content: bytes) -> Any:
    thing.local_path().parent.mkdir(parents=True, exist_ok=True)
    thing.local_path().write_bytes(content)
    asyncio.run(thing.managed_store())
    return thing


def test_what_is_stored_comes_back(thing: Callable[..., Any]) -> None:
    object_ = stored(thing("a b/ü'.txt"), b"content")
    object_.local_path().unlink()
    asyncio.run(object_.managed_retrieve())
    assert object_.local_path().read_bytes() == b"content"
    assert object_.size() == 7


def test_trap_11_a_bucket_stays_when_its_last_object_goes(
    thing: Callable[..., Any], store: Any, tmp_path: Path
) -> None:
    for kind in (Careful, Remembered):
        bucket = f"of-{kind.__name__.lower()}"
        store.create_bucket(Bucket=bucket)
        asyncio.run(stored(thing("only.txt", kind, bucket), b"x").managed_remove())
        assert not thing("only.txt", Careful, bucket).exists()
        assert bucket in {found["Name"] for found in store.list_buckets()["Buckets"]}


def test_trap_12_a_pipe_is_not_uploaded(thing: Callable[..., Any], requests: Counter[str]) -> None:
    object_ = thing("stream")
    object_.local_path().parent.mkdir(parents=True)
    os.mkfifo(object_.local_path())
    asyncio.run(object_.managed_store())
    assert not requests


def test_an_upload_that_does_not_arrive_whole_is_no_upload(thing: Callable[..., Any], provider: Any) -> None:
    def cut(params: dict[str, Any], **_: Any) -> None:
        params["body"] = params["body"].read()[:-1]

    provider.s3c.meta.client.meta.events.register("before-call.s3.PutObject", cut)
    object_ = thing("cut.txt")
    with pytest.raises(WorkflowError, match="did not arrive whole"):
        stored(object_, b"content")
    assert not thing("cut.txt").exists()


def test_what_arrives_the_second_time_is_whole(thing: Callable[..., Any], provider: Any) -> None:
    tries = []

    def cut_once(params: dict[str, Any], **_: Any) -> None:
        tries.append(params)
        if len(tries) == 1:
            params["body"] = params["body"].read()[:-1]

    provider.s3c.meta.client.meta.events.register("before-call.s3.PutObject", cut_once)
    assert stored(thing("again.txt"), b"content").size() == 7
    assert len(tries) == 2


def test_a_large_file_goes_in_parts_and_is_compared(
    thing: Callable[..., Any], requests: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallow_s3, "SINGLE_PUT_BYTES", 5 << 20)
    content = os.urandom((11 << 20) + 7)
    object_ = stored(thing("large"), content)
    assert requests["UploadPart"] == 3
    object_.local_path().unlink()
    asyncio.run(object_.managed_retrieve())
    assert object_.local_path().read_bytes() == content


def test_parts_that_make_another_file_are_no_upload(
    thing: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallow_s3, "SINGLE_PUT_BYTES", 5 << 20)
    monkeypatch.setattr(fallow_s3, "tag_of_parts", lambda path, part: "another")
    with pytest.raises(WorkflowError, match="did not arrive whole"):
        stored(thing("large"), bytes(6 << 20))
    assert not thing("large").exists()


def test_a_folder_goes_and_comes_with_all_below_it(thing: Callable[..., Any]) -> None:
    folder = thing("folder")
    path = folder.local_path()
    (path / "deep").mkdir(parents=True)
    (path / "one").write_text("1")
    (path / "deep" / "two three").write_text("23")
    (path / ".snakemake_timestamp").touch()
    asyncio.run(folder.managed_store())
    again = thing("folder", Remembered)
    assert again.exists()
    assert again.is_dir()
    assert again.size() == 3
    for file in path.rglob("*"):
        if file.is_file():
            file.unlink()
    asyncio.run(again.managed_retrieve())
    assert (path / "deep" / "two three").read_text() == "23"
    asyncio.run(again.managed_remove())
    assert not thing("folder").exists()


def test_what_was_no_folder_may_become_one(thing: Callable[..., Any]) -> None:
    folder = thing("later")
    assert not folder.exists()
    stored(thing("later/file"), b"x")
    assert folder.exists()


def test_a_job_asks_for_many_inputs_of_a_folder_at_once(
    thing: Callable[..., Any], requests: Counter[str]
) -> None:
    for number in range(20):
        stored(thing(f"in/{number}"), b"x")
    requests.clear()
    inputs = [thing(f"in/{number}", Remembered) for number in range(20)]
    for _ in range(3):
        assert all(one.exists() and one.size() == 1 and one.mtime() > 0 for one in inputs)
    assert not thing("in/none", Remembered).exists()
    assert requests == {"ListObjectsV2": 2}


def test_a_folder_with_more_files_than_one_answer_holds_is_asked_one_by_one(
    thing: Callable[..., Any], requests: Counter[str], provider: Any
) -> None:
    def few(params: dict[str, Any], **_: Any) -> None:
        params["MaxKeys"] = 2

    for name in ("a", "b", "c", "d", "d-1", "d.bak", "e/f"):
        stored(thing(f"in/{name}"), b"x")
    provider.s3c.meta.client.meta.events.register("provide-client-params.s3.ListObjectsV2", few)
    assert [name for name in "abcdefg" if thing(f"in/{name}", Remembered).exists()] == list("abcde")
    assert thing("in/e", Remembered).is_dir()
    assert not thing("in/d", Remembered).is_dir()


def test_an_output_is_looked_at_before_it_is_stored(thing: Callable[..., Any]) -> None:
    object_ = thing("made.txt", Remembered)
    object_.local_path().parent.mkdir(parents=True)
    object_.local_path().write_text("made")
    assert not object_.exists()
    assert object_.size() == 4
    copy = thing("made.txt", Remembered)
    copy.set_local_path(object_.local_path().with_name("copy"))
    copy.retrieve_object()
    assert copy.local_path().read_text() == "made"
    object_.retrieve_object()
    assert object_.local_path().read_text() == "made"


def test_a_copy_is_brought_when_what_is_stored_is_newer(thing: Callable[..., Any]) -> None:
    object_ = stored(thing("checked.txt"), b"first")
    object_.bring()
    os.utime(object_.local_path(), (1, 1))
    object_.local_path().write_bytes(b"old")
    os.utime(object_.local_path(), (1, 1))
    object_.bring()
    assert object_.local_path().read_bytes() == b"first"


def test_a_storage_that_is_away_is_told_from_a_file_that_is_not_there(
    thing: Callable[..., Any], provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallow_s3, "troubles", [])
    with pytest.raises(WorkflowError):
        asyncio.run(thing("none.txt").managed_retrieve())
    assert fallow_s3.troubles == []
    provider.settings.endpoint_url = "http://127.0.0.1:9"
    monkeypatch.setattr(fallow_s3, "ATTEMPTS", 1)
    provider.settings.retries = 1
    provider.__post_init__()
    with pytest.raises(WorkflowError):
        asyncio.run(thing("none.txt").managed_exists())
    assert "127.0.0.1:9" in fallow_s3.troubles[-1]

"""What a job may do with S3, on a real store, by each of the ways in which the hub can grant it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.matcher.campaigns.world import plan
from tests.matcher.gateway.store import connect
from tests.matcher.gateway.test_s3 import denied

from fallow.storage import objects as clients
from fallow.storage.cache import InputCache
from fallow.storage.failures import StagingError, Trouble
from fallow.storage.grants import Grant, Made, StagingRequest
from fallow.storage.objects import objects_of
from fallow.storage.staging import Patience, fetch, made, store
from fallow_matcher.campaigns.grants import grant
from fallow_matcher.gateway import objects as gateway
from fallow_matcher.gateway.objects import Objects
from fallow_matcher.gateway.s3 import Store, user_bucket
from fallow_matcher.gateway.webidentity import WebIdentity
from fallow_matcher.settings import HubSettings

PART_BYTES = 5 << 20
"""The least that S3 takes as a part."""
WAYS = ("web-identity", "assume-role", "signed-urls")
BUCKET = user_bucket("fallow", "north.alice")
PLAN = plan(
    stages=[
        {
            "inputs": [
                {"path": "own", "url": "s3:///raw/{id}"},
                {"path": "shared", "url": "s3:///raw/geometry"},
            ],
            "outputs": [{"path": "hits", "url": "s3:///mc/{id}.hits"}],
            "disk_mb": 200,
        }
    ]
)
CAMPAIGN = SimpleNamespace(id=1, centre="north", user="alice", plan=PLAN.model_dump_json())
ROW = SimpleNamespace(id=7, row_id="r7", stage=0, cells=json.dumps(["r7", "1"]), attempt=2)
IN = StagingRequest(ticket="")


class Job:
    """One job and what the hub grants it."""

    def __init__(self, settings: HubSettings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.asked = 0

    def granted(self, wanted: StagingRequest = IN) -> Grant:
        self.asked += 1
        objects = Objects(self.settings, Store(self.settings.storage))
        return grant(self.settings, objects, CAMPAIGN, ROW, wanted)

    def stage_in(self, given: Grant) -> dict[str, str]:
        objects = objects_of(given, self.granted)
        patience = Patience.of(20)
        return {file.path: fetch(file, self.folder / file.path, objects, patience) for file in given.files}

    def stage_out(self) -> Grant:
        given = self.granted(StagingRequest(ticket="", outputs=[made(self.folder, "hits")]))
        for file in given.files:
            store(file, self.folder, objects_of(given, self.granted), Patience.of(20))
        return given


@pytest.fixture(params=WAYS)
def job(
    request: pytest.FixtureRequest,
    configured: HubSettings,
    endpoint: str,
    jwks: dict[str, Any],
    objects: Any,
    tmp_path: Path,
) -> Job:
    """A job of a hub that grants access in one of the ways."""
    storage = configured.storage.model_copy(update={"endpoint": endpoint, "jobs": request.param})
    settings = configured.model_copy(update={"storage": storage})
    jwks.update(WebIdentity(settings).jwks())
    Store(storage).ensure(BUCKET)
    for key, body in (
        ("data/raw/r7", b"events"),
        ("data/raw/geometry", b"g" * 100_000),
        ("data/other", b"secret"),
    ):
        objects.put_object(Bucket=BUCKET, Key=key, Body=body)
    folder = tmp_path / "job"
    folder.mkdir()
    return Job(settings, folder)


def test_inputs_arrive_compared(job: Job) -> None:
    sums = job.stage_in(job.granted())
    assert (job.folder / "own").read_bytes() == b"events"
    assert sums["shared"] == hashlib.sha256(b"g" * 100_000).hexdigest()
    assert {path.name for path in job.folder.iterdir()} == {"own", "shared"}


@pytest.mark.parametrize("size", [0, 5, PART_BYTES + 5])
def test_outputs_are_stored_with_digest_and_attempt(
    job: Job, objects: Any, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (clients, gateway):
        monkeypatch.setattr(module, "PART_BYTES", PART_BYTES)
    (job.folder / "hits").write_bytes(b"x" * size)
    job.stage_out()
    found = objects.head_object(Bucket=BUCKET, Key="data/mc/r7.hits")
    assert found["ContentLength"] == size
    assert found["Metadata"] == {
        "sha256": hashlib.sha256(b"x" * size).hexdigest(),
        "fallow-attempt": "1.7.2",
    }
    objects.delete_object(Bucket=BUCKET, Key="data/mc/r7.hits")


def test_a_job_reaches_its_own_objects_only(job: Job) -> None:
    given = job.granted()
    for key in ("data/other", "data/mc/r7.hits"):
        other = given.files[0].model_copy(update={"key": key, "etag": "0" * 32})
        if other.signed is None:
            with pytest.raises(StagingError) as refused:
                fetch(other, job.folder / "own", objects_of(given, job.granted), Patience.of(5))
            assert refused.value.trouble is Trouble.DENIED
        else:
            assert "raw/r7" in other.signed.url  # it has no key with which to sign another
    assert not (job.folder / "own").exists()


def test_what_may_be_written_may_not_be_read_and_the_reverse(job: Job) -> None:
    given = job.granted()
    if given.keys is None:
        return
    mine = connect(
        "s3", given.endpoint, given.keys.access_key, given.keys.secret_key, given.keys.session_token
    )
    assert denied(mine.put_object, Bucket=BUCKET, Key="data/raw/r7", Body=b"")
    assert denied(mine.delete_object, Bucket=BUCKET, Key="data/raw/r7")
    assert denied(mine.list_objects_v2, Bucket=BUCKET)
    assert denied(mine.put_object, Bucket=BUCKET, Key="data/mc/r7.hits", Body=b"")


def test_an_object_that_changed_is_told_from_one_that_is_gone(job: Job, objects: Any) -> None:
    given = job.granted()
    objects.put_object(Bucket=BUCKET, Key="data/raw/r7", Body=b"newer events")
    with pytest.raises(StagingError, match="replaced") as changed:
        job.stage_in(given)
    assert changed.value.trouble is Trouble.CHANGED
    objects.delete_object(Bucket=BUCKET, Key="data/raw/r7")
    with pytest.raises(StagingError) as missing:
        job.stage_in(given)
    assert missing.value.trouble is Trouble.MISSING
    with pytest.raises(StagingError, match="There is no input s3:///raw/r7"):
        job.granted()


def test_a_transfer_goes_on_where_it_broke(job: Job, objects: Any) -> None:
    given = job.granted()
    whole = given.files[1]
    reader = objects_of(given, job.granted)
    starts = []

    class Breaking:
        """Reads, and breaks off the first time."""

        def read(self, file: Any, start: int, take: Any) -> None:
            starts.append(start)
            if start == 0:
                take(b"g" * 40_000)
                raise StagingError(Trouble.AWAY, "It broke.")
            reader.read(file, start, take)

        write = None

    breaking: Any = Breaking()
    fetch(whole, job.folder / "shared", breaking, Patience.of(20))
    assert starts == [0, 40_000]
    assert (job.folder / "shared").read_bytes() == b"g" * 100_000


def test_what_arrives_changed_is_not_kept(job: Job) -> None:
    given = job.granted()

    class Lying:
        """Sends as many bytes, and other ones."""

        def read(self, file: Any, start: int, take: Any) -> None:
            take(b"x" * (file.bytes - start))

        write = None

    lying: Any = Lying()
    with pytest.raises(StagingError) as refused:
        fetch(given.files[0], job.folder / "own", lying, Patience.of(0.1))
    assert refused.value.trouble is Trouble.CORRUPT
    assert not (job.folder / "own").exists()


def test_keys_are_renewed_while_they_are_used(job: Job) -> None:
    given = job.granted()
    if given.keys is None:
        return
    old = given.keys.model_copy(
        update={"expires": datetime.now(UTC) + timedelta(seconds=60), "secret_key": "x"}
    )
    asked = job.asked
    job.stage_in(given.model_copy(update={"keys": old}))
    assert job.asked > asked


def test_inputs_that_rows_share_are_fetched_once(job: Job, tmp_path: Path) -> None:
    given = job.granted()
    assert [file.shared for file in given.files] == [False, True]
    cache, shared, reader = (
        InputCache(tmp_path / "cache", 1 << 20),
        given.files[1],
        objects_of(given, job.granted),
    )
    fetched = []

    def once(path: Path) -> str:
        fetched.append(path)
        return fetch(shared, path, reader, Patience.of(20))

    for name in ("a", "b"):
        cache.copy(shared, tmp_path / name, once)
        assert (tmp_path / name).read_bytes() == b"g" * 100_000
    assert len(fetched) == 1
    (kept,) = (tmp_path / "cache").glob("*-*")
    kept.write_bytes(b"damaged")
    assert not cache.copy(shared, tmp_path / "c", once)
    assert (tmp_path / "c").read_bytes() == b"g" * 100_000


def test_more_than_the_federation_stages_or_the_job_has_disk_for_is_refused(job: Job) -> None:
    huge = Made(path="hits", bytes=300 << 20, sha256="0" * 64)
    with pytest.raises(StagingError, match="it asks for 200 MB of disk"):
        job.granted(StagingRequest(ticket="", outputs=[huge]))
    limits = job.settings.limits.model_copy(update={"staged_mb": 100})
    job.settings = job.settings.model_copy(update={"limits": limits})
    with pytest.raises(StagingError, match="the federation stages 100 MB for one job at most") as refused:
        job.granted(StagingRequest(ticket="", outputs=[huge]))
    assert refused.value.trouble is Trouble.LARGE

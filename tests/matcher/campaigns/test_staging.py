"""What the hub carries for a campaign, and what it refuses to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.matcher.campaigns.world import plan

from fallow.errors import NotAvailableError
from fallow_matcher.campaigns.ending import Ending
from fallow_matcher.campaigns.logs import KEPT_BYTES, folder, written
from fallow_matcher.campaigns.staging import Staging, StagingError
from fallow_matcher.gateway.s3 import user_bucket
from fallow_matcher.settings import HubSettings

CAMPAIGN = SimpleNamespace(id=1, name="mc", centre="north", user="alice")
ROW = SimpleNamespace(id=7, row_id="r7", stage=0, cells=json.dumps(["r7", "1"]), attempt=1)
AD = {"ClusterId": 12345, "ProcId": 3}
OUTPUTS = plan(stages=[{"outputs": [{"path": "out", "url": "s3:///mc/{id}"}]}])


class Store:
    """Objects in memory; away when told to be."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.away = False

    def upload(self, user: str, key: str, path: Path) -> None:
        if self.away:
            raise NotAvailableError("The storage does not answer.", retryable=True)
        self.objects[user, key] = path.read_bytes()

    def download(self, user: str, key: str, path: Path, limit_bytes: int) -> int | None:
        content = self.objects.get((user, key))
        if content is not None and len(content) <= limit_bytes:
            path.write_bytes(content)
        return None if content is None else len(content)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def staging(settings: HubSettings, store: Any) -> Staging:
    settings.state_dir.mkdir()
    return Staging(settings, store)


@pytest.fixture
def place(settings: HubSettings) -> Path:
    found = folder(settings.state_dir / "spool", 12345, 3)
    assert found.parts[-3:] == ("2345", "3", "cluster12345.proc3.subproc0")
    return found


def test_outputs_are_stored_as_the_owners_with_size_and_digest(
    staging: Staging, store: Store, place: Path
) -> None:
    place.mkdir(parents=True)
    (place / "out").write_text("hits")
    staged = staging.out(CAMPAIGN, OUTPUTS, ROW, AD)
    assert store.objects == {("north.alice", "mc/r7"): b"hits"}
    (one,) = json.loads(str(staged))
    assert one == {
        "path": "out",
        "url": "s3:///mc/r7",
        "bytes": 4,
        "sha256": hashlib.sha256(b"hits").hexdigest(),
    }


def test_a_job_whose_output_cannot_be_stored_now_waits(staging: Staging, store: Store, place: Path) -> None:
    place.mkdir(parents=True)
    (place / "out").write_text("hits")
    store.away = True
    assert staging.out(CAMPAIGN, OUTPUTS, ROW, AD) is None


def test_an_output_is_never_a_link_into_the_hub(
    staging: Staging, store: Store, place: Path, tmp_path: Path
) -> None:
    place.mkdir(parents=True)
    (tmp_path / "secret").write_text("key")
    (place / "out").symlink_to(tmp_path / "secret")
    (place / "stdout").symlink_to(tmp_path / "secret")
    assert isinstance(staging.out(CAMPAIGN, OUTPUTS, ROW, AD), Ending)
    assert store.objects == {}
    assert written(place).stdout == b""


def test_an_output_over_the_limit_is_refused_with_the_reason(staging: Staging, place: Path) -> None:
    place.mkdir(parents=True)
    with (place / "out").open("wb") as stream:
        stream.truncate(101 * 1024 * 1024)
    end = staging.out(CAMPAIGN, OUTPUTS, ROW, AD)
    assert isinstance(end, Ending)
    assert "the hub carries 100 MB at most" in end.reason


def test_inputs_are_fetched_and_a_missing_one_is_named(staging: Staging, store: Store) -> None:
    wanted = plan(stages=[{"inputs": [{"path": "in", "url": "s3:///raw/{id}"}]}])
    with pytest.raises(StagingError, match="There is no input s3:///raw/r7"):
        staging.inputs(CAMPAIGN, wanted, ROW)
    store.objects["north.alice", "raw/r7"] = b"events"
    (path,) = staging.inputs(CAMPAIGN, wanted, ROW)
    assert (path.name, path.read_bytes()) == ("in", b"events")


def test_only_the_owners_own_storage_can_be_named(staging: Staging) -> None:
    mine = user_bucket("fallow", "north.alice")
    assert staging.key(CAMPAIGN, f"s3://{mine}/data/a/b") == "a/b"
    other = user_bucket("fallow", "south.bob")
    for url in (
        f"s3://{other}/data/x",
        "s3://fallow/images/x.sif",
        f"s3://{mine}/.fallow",
        "s3:///a/../b",
        "s3:///a/%2e%2e/b",
    ):
        with pytest.raises(StagingError):
            staging.key(CAMPAIGN, url)


def test_of_a_long_stream_the_end_is_kept(place: Path) -> None:
    place.mkdir(parents=True)
    (place / "stdout").write_bytes(b"a" * KEPT_BYTES + b"end")
    found = written(place)
    assert (len(found.stdout), found.stdout[-4:], found.truncated) == (KEPT_BYTES, b"aend", True)

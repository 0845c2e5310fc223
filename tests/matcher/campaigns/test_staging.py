"""What the hub looks at for a campaign's jobs, and what it refuses before a slot is spent on it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.matcher.campaigns.world import plan

from fallow.errors import NotAvailableError, RefusedError
from fallow.storage.failures import StagingError, Trouble
from fallow_matcher.campaigns.ending import Ending
from fallow_matcher.campaigns.logs import KEPT_BYTES, folder, written
from fallow_matcher.campaigns.staging import Staging
from fallow_matcher.campaigns.tickets import Tickets
from fallow_matcher.gateway.objects import Found
from fallow_matcher.gateway.s3 import user_bucket
from fallow_matcher.settings import HubSettings

CAMPAIGN = SimpleNamespace(id=1, name="mc", centre="north", user="alice")
ROW = SimpleNamespace(id=7, row_id="r7", stage=0, cells=json.dumps(["r7", "1"]), attempt=1)
INPUTS = plan(stages=[{"inputs": [{"path": "in", "url": "s3:///raw/{id}"}]}])
OUTPUTS = plan(stages=[{"outputs": [{"path": "out", "url": "s3:///mc/{id}"}]}])


class Objects:
    """Objects that are said to be there; away when told to be."""

    def __init__(self) -> None:
        self.there: dict[tuple[str, str], Found] = {}
        self.away = False

    def find(self, user: str, key: str) -> Found | None:
        if self.away:
            raise NotAvailableError("The storage does not answer.", retryable=True)
        return self.there.get((user, key))

    def wanted(self, user: str, key: str, url: str) -> Found:
        found = self.find(user, key)
        if found is None:
            raise StagingError(Trouble.MISSING, f"There is no input {url}.")
        return found


@pytest.fixture
def objects() -> Objects:
    return Objects()


@pytest.fixture
def staging(settings: HubSettings, objects: Any) -> Staging:
    settings.state_dir.mkdir()
    return Staging(settings, objects)


def test_what_a_job_has_stored_is_recorded_with_size_and_digest(staging: Staging, objects: Objects) -> None:
    about = {"sha256": "ab" * 32, "fallow-attempt": "1.7.1"}
    objects.there["north.alice", "mc/r7"] = Found(4, "tag", about)
    (one,) = json.loads(str(staging.out(CAMPAIGN, OUTPUTS, ROW, {})))
    assert one == {"path": "out", "url": "s3:///mc/r7", "bytes": 4, "sha256": "ab" * 32}


@pytest.mark.parametrize("stored", [{}, {"fallow-attempt": "1.7.9"}, None])
def test_a_row_is_not_done_by_what_another_attempt_has_stored(
    staging: Staging, objects: Objects, stored: dict[str, str] | None
) -> None:
    if stored is not None:
        objects.there["north.alice", "mc/r7"] = Found(4, "tag", stored)
    end = staging.out(CAMPAIGN, OUTPUTS, ROW, {})
    assert isinstance(end, Ending)
    assert end.reason == "The job has not stored out at s3:///mc/r7."


def test_a_job_whose_outputs_cannot_be_looked_at_now_waits(staging: Staging, objects: Objects) -> None:
    objects.away = True
    assert staging.out(CAMPAIGN, OUTPUTS, ROW, {}) is None


def test_a_missing_input_is_named_before_anything_is_submitted(staging: Staging) -> None:
    with pytest.raises(StagingError, match="There is no input s3:///raw/r7"):
        staging.inputs(CAMPAIGN, INPUTS, ROW)


def test_inputs_over_the_limit_are_refused_with_the_reason(staging: Staging, objects: Objects) -> None:
    objects.there["north.alice", "raw/r7"] = Found(200 << 20, "tag")
    with pytest.raises(StagingError, match="have 200 MB, but it asks for 100 MB of disk"):
        staging.inputs(CAMPAIGN, INPUTS, ROW)


def test_a_job_gets_a_ticket_of_its_own_and_no_key(
    staging: Staging, objects: Objects, settings: HubSettings
) -> None:
    objects.there["north.alice", "raw/r7"] = Found(4, "tag")
    (path,) = staging.inputs(CAMPAIGN, INPUTS, ROW)
    ticket, *words = path.read_text().splitlines()
    assert words == ["in"]
    assert path.stat().st_mode & 0o077 == 0
    assert Tickets(settings.state_dir).place(ticket) == (1, 7, 1)
    assert staging.inputs(CAMPAIGN, plan(), ROW) == []


@pytest.mark.parametrize("change", [lambda text: text[:-2], lambda text: "", lambda text: "a.b.c"])
def test_a_ticket_that_was_changed_is_none(tmp_path: Path, change: Any) -> None:
    tickets = Tickets(tmp_path)
    with pytest.raises(RefusedError, match="no ticket of this hub"):
        tickets.place(change(tickets.of((1, 2, 3))))


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


@pytest.fixture
def place(settings: HubSettings) -> Path:
    found = folder(settings.state_dir / "spool", 12345, 3)
    assert found.parts[-3:] == ("2345", "3", "cluster12345.proc3.subproc0")
    found.mkdir(parents=True)
    return found


def test_what_a_job_wrote_is_never_a_link_into_the_hub(place: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("key")
    (place / "stdout").symlink_to(tmp_path / "secret")
    assert written(place).stdout == b""


def test_of_a_long_stream_the_end_is_kept(place: Path) -> None:
    (place / "stdout").write_bytes(b"a" * KEPT_BYTES + b"end")
    found = written(place)
    assert (len(found.stdout), found.stdout[-4:], found.truncated) == (KEPT_BYTES, b"aend", True)

"""What a job wrote, on its owner's page: from the queue, or from the owner's storage, and from nobody else's."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from fallow.queue.records import JobRecord, JobState
from fallow_matcher.board.output import LARGEST_BYTES, Told, output
from fallow_matcher.campaigns.logs import KEPT_BYTES, folder
from fallow_matcher.gateway.s3 import Store, user_bucket
from fallow_matcher.settings import HubSettings

BUCKET = user_bucket("fallow", "north.alice")
NOTE = {
    "began": 1.0,
    "said": {"stdout": {"bytes": 5, "text": "hello"}, "log/a.txt": {"bytes": 2, "text": "<b>"}},
}


class Objects:
    """A store's client that knows single objects, and what it was asked for."""

    def __init__(self, objects: dict[tuple[str, str], bytes]) -> None:
        self._objects = objects
        self.asked: list[tuple[str, str]] = []

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        self.asked.append((Bucket, Key))
        text = self._objects.get((Bucket, Key))
        if text is None:
            raise ClientError({"ResponseMetadata": {"HTTPStatusCode": 404}}, "GetObject")  # type: ignore[typeddict-item]
        return {"Body": StreamingBody(BytesIO(text), len(text))}


def job(state: JobState = JobState.RUNNING, notes: str | None = f"s3://{BUCKET}/data/run/1") -> JobRecord:
    return JobRecord(
        id="7.0", run="r", key="k", name="n", state=state, exit_code=None, exit_signal=None, hold_code=None, reason="",
        centre="south", pilot=None, starts=1, walltime_s=60, submitted=1, started=2, finished=None, notes=notes,
    )  # fmt: skip


@pytest.fixture
def told(configured: HubSettings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`told(record, text)`: what alice's page says where the store has `text` as the note; and what was asked for."""

    def tell(record: JobRecord, text: bytes | None = json.dumps(NOTE).encode()) -> tuple[Told, list[Any]]:
        objects = Objects({(BUCKET, "data/run/1"): text} if text is not None else {})
        monkeypatch.setattr(Store, "client", lambda self, service: objects)
        found = output(Store(configured.storage), configured, "north.alice", record)
        return found, objects.asked

    return tell


def test_the_ends_of_its_streams_are_shown(told: Any) -> None:
    found, _ = told(job())
    assert found == Told({"stdout": "hello", "log/a.txt": "<b>"})


@pytest.mark.parametrize(
    "place",
    [f"s3://{user_bucket('fallow', 'south.bob')}/data/run/1", f"s3://{BUCKET}/.fallow", "s3://fallow/data/x"],
)
def test_nothing_is_read_that_is_not_the_owners(told: Any, place: str) -> None:
    found, asked = told(job(notes=place))
    assert "not your own" in found.words
    assert asked == []


@pytest.fixture
def left(configured: HubSettings) -> Path:
    """The folder of the job in the queue's spool."""
    place = folder(configured.state_dir / "spool", 7, 0)
    place.mkdir(parents=True)
    return place


FINISHED = job(JobState.FINISHED)


def test_a_finished_job_shows_what_it_left_in_the_queue(told: Any, left: Path) -> None:
    (left / "stdout").write_bytes(b"<b>done\xff")
    (left / "stderr").write_bytes(b"")
    found, asked = told(FINISHED)
    assert found == Told({"stdout": "<b>done\ufffd"})
    assert asked == []


def test_of_a_long_output_the_end_is_shown_and_where_the_rest_is(told: Any, left: Path) -> None:
    (left / "stderr").write_bytes(b"a" + b"b" * KEPT_BYTES)
    found, _ = told(FINISHED)
    assert found.parts == {"stderr": "b" * KEPT_BYTES}
    assert "fallow logs 7.0 has all of it" in found.words


def test_a_finished_job_that_wrote_nothing_says_so(told: Any, left: Path) -> None:
    assert left.is_dir()
    assert told(FINISHED)[0] == Told({}, "It wrote nothing.")


def test_a_link_that_a_job_leaves_leads_nowhere(told: Any, left: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("another's")
    (left / "stdout").symlink_to(tmp_path / "secret")
    assert told(FINISHED)[0].parts == {}


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (
            replace(FINISHED, taken=True),
            "taken the output with the result. A workflow keeps what failed jobs wrote",
        ),
        (FINISHED, "Nobody took its output within 3 days"),
        (job(JobState.REMOVED), "keeps nothing of a job that was removed"),
        (job(JobState.WAITING), "waits to be started again"),
    ],
)
def test_what_the_queue_no_longer_has_is_said_with_what_was_told_last(
    told: Any, record: JobRecord, why: str
) -> None:
    found, _ = told(record)
    assert found.parts["stdout"] == "hello"
    assert why in found.words
    assert found.words.endswith("This is what it told last.")
    found, _ = told(record, None)
    assert (found.parts, "told last" in found.words) == ({}, False)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            job(notes=None),
            "does not tell what it writes while it runs; its output is here when it has finished",
        ),
        (replace(job(JobState.WAITING), started=None), "has not been started yet"),
        (replace(job(JobState.REMOVED), started=None), "was never started"),
    ],
)
def test_where_there_is_nothing_to_read_it_says_so(told: Any, record: JobRecord, words: str) -> None:
    found, asked = told(record)
    assert words in found.words
    assert asked == []


def test_a_campaigns_job_leads_to_the_campaigns_log(told: Any) -> None:
    mine = replace(FINISHED, run="campaign.3", key="12.4", name="mc/main/a/b <c>")
    assert told(mine)[0].log == "/me/campaigns/mc/log?stage=main&id=a%2Fb+%3Cc%3E&attempt=4"
    assert "once it has ended" in told(replace(mine, state=JobState.RUNNING))[0].words
    assert told(replace(mine, name="no such name"))[0].log == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "told nothing yet"), (b"{}", "makes no sense"), (b"1" * (LARGEST_BYTES + 9), "makes no sense")],
)
def test_a_note_that_is_missing_or_makes_no_sense_is_told(told: Any, text: bytes | None, words: str) -> None:
    assert words in told(job(), text)[0].words

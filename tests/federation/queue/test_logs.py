"""`fallow logs`, with a queue and a storage that answer as they do; the real ones: snakemake_chaos/test_lives.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fallow.messages import StorageAccess
from fallow.queue.logs import logs
from fallow.queue.records import JobRecord, JobState

ACCESS = StorageAccess(
    endpoint="https://s3.example.org", region="r", bucket="mine", prefix="data/", access_key="k",
    secret_key="s", expires=datetime(2100, 1, 1, tzinfo=UTC),
)  # fmt: skip
JOB = JobRecord(
    id="7.0", run="r", key="k", name="map", state=JobState.RUNNING, exit_code=None, exit_signal=None,
    hold_code=None, reason="", centre="alder", pilot="alder-1", starts=1, walltime_s=60, submitted=1, started=2,
    finished=None, notes="s3://mine/data/w/k.json",
)  # fmt: skip


def note(text: str, began: float = 1.0) -> bytes:
    return json.dumps({"began": began, "said": {"stdout": {"bytes": len(text), "text": text}}}).encode()


class Fake:
    """A queue and a storage; each look takes the next of `states` and `notes`."""

    def __init__(self, states: list[JobRecord], notes: list[bytes | None]) -> None:
        self.states, self.notes = states, notes
        self.past: dict[str, JobRecord] = {}

    def jobs(self) -> list[JobRecord]:
        return [self.states.pop(0)] if self.states else []

    def history(self, ids: list[str]) -> dict[str, JobRecord]:
        return self.past

    def fetch(self, job: str, *, into: Path) -> None:
        (into / "stdout").write_text("one\ntwo\nthree\n")
        (into / "stderr").write_text("done\n")

    def storage(self) -> StorageAccess:
        return ACCESS


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`run(fake, *arguments)`: `fallow logs 7.0 …`."""

    def go(fake: Fake, *arguments: str) -> Result:
        def get_object(*_: Any, **__: Any) -> bytes | None:
            return fake.notes.pop(0)

        monkeypatch.setattr("fallow.client.client_settings", type("S", (), {"ca_file": None}))
        monkeypatch.setattr("fallow.client.connect", lambda settings=None: fake)
        monkeypatch.setattr("fallow.queue.hub.open_queue", lambda hub: fake)
        monkeypatch.setattr("fallow.storage.transfer.get_object", get_object)
        monkeypatch.setattr("fallow.queue.logs.LOOK_EVERY_S", 0)
        return CliRunner().invoke(logs, ["7.0", *arguments])

    return go


FINISHED = replace(JOB, state=JobState.FINISHED)
WAITING = replace(JOB, state=JobState.WAITING)


def test_a_finished_job_shows_all_that_it_wrote(run: Callable[..., Result]) -> None:
    done = run(Fake([FINISHED], []))
    assert (done.stdout, done.stderr) == ("one\ntwo\nthree\n", "done\n")


def test_a_running_job_shows_what_it_told_last(run: Callable[..., Result]) -> None:
    assert run(Fake([JOB], [note("one\ntwo\n")]), "--lines", "1").stdout == "two\n"


def test_following_goes_on_to_the_end_and_repeats_nothing(run: Callable[..., Result]) -> None:
    done = run(
        Fake([WAITING, JOB, JOB, FINISHED], [note("one\n"), note("one\ntwo\n")]),
        "--follow",
        "--stream",
        "stdout",
    )
    assert done.stdout == "one\ntwo\nthree\n"
    assert "waiting" in done.stderr


def test_a_job_whose_result_is_taken_meanwhile_is_shown_to_its_last_note(run: Callable[..., Result]) -> None:
    fake = Fake([JOB], [note("one\n"), note("one\ntwo\n")])
    fake.past = {"the-key": FINISHED}
    done = run(fake, "--follow")
    assert (done.exit_code, done.stdout) == (0, "one\ntwo\n")
    assert "has left the queue" in done.stderr


def test_a_job_that_was_started_again_is_told(run: Callable[..., Result]) -> None:
    done = run(Fake([JOB, JOB, FINISHED], [note("one\n"), note("o", began=2.0)]), "-f", "--stream", "stdout")
    assert "started again" in done.stderr
    assert done.stdout == "one\none\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("fake", "said"),
    [
        (Fake([], []), "You have no job 7.0"),
        (Fake([WAITING], []), "has not started"),
        (Fake([JOB], [None]), "has told nothing yet"),
        (Fake([replace(JOB, notes=None)], []), "does not tell what it writes while it runs"),
        (Fake([replace(JOB, notes="s3://yours/x")], []), "a storage of your own: s3://yours/x"),
        (Fake([replace(JOB, state=JobState.HELD, reason="no disk")], [note("x")]), "held: no disk"),
    ],
)
def test_what_cannot_be_shown_is_said_with_a_way_on(
    run: Callable[..., Result], fake: Fake, said: str
) -> None:
    done = run(fake)
    assert done.exit_code != 0
    assert said in str(done.exception)


def test_a_job_whose_result_was_taken_names_where_a_workflow_keeps_it(run: Callable[..., Result]) -> None:
    fake = Fake([], [])
    fake.past = {"the-key": FINISHED}
    assert ".snakemake/fallow/r/the-key" in str(run(fake).exception)

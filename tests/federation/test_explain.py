"""How `fallow explain` shows what the hub says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fallow.cli import fallow
from fallow.commands.explain import lines
from fallow.errors import UsageError
from fallow.explanations import Event, EventKind, Explanation, Obstacle, Place, Run, Verdict
from fallow.queue.records import JobState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WAITING = Explanation(
    job="12.0",
    name="align",
    state=JobState.WAITING,
    at=NOW,
    summary="It fits birch, whose pilots are all busy. 3 of the 8 waiting jobs come before it.",
    requests="1 core, 2 GB of memory, for 1 h",
    verdicts=[
        Verdict(centre="birch", fits=True, words="Fits; the 2 pilots there are busy.", pilots=2, ahead=3),
        Verdict(
            centre="alder",
            fits=False,
            words="Needs 2 GB of memory; alder offers 1 GB per node (and 1 more).",
            obstacles=[
                Obstacle(reason="needs 2 GB of memory; alder offers 1 GB per node"),
                Obstacle(reason="alder says: “Only urgent work.”"),
            ],
        ),
    ],
    place=Place(
        centre="cedar", work_type="test", resource_class="cpu", wait_s=3600, score=0.25, urgency=2, weight=0.5,
        balance=0.25, ahead=3, waiting=8, group_place=2, groups=4,
    ),
    changes=[Event(kind=EventKind.RULES, at=NOW, words="Version 2 of the rules took effect.")],
)  # fmt: skip


def test_a_waiting_job_is_explained_in_plain_words() -> None:
    assert "\n".join(lines(WAITING)) == (
        "Job 12.0 (align) is waiting. It fits birch, whose pilots are all busy. 3 of the 8 waiting jobs come before it.\n"
        "  It asks for 1 core, 2 GB of memory, for 1 h.\n"
        "\n"
        "The centres' offers:\n"
        "  birch  Fits; the 2 pilots there are busy. 3 waiting jobs come first there.\n"
        "  alder  Needs 2 GB of memory; alder offers 1 GB per node (and 1 more).\n"
        "         also: alder says: “Only urgent work.”\n"
        "\n"
        "Its place: 3 of 8 waiting jobs come before it, by score; cedar's test work is number 2 of 4 that wait for cpu.\n"
        "  score 0.25 = urgency 2 (it waits 3600 s) x weight 0.5 (test) x balance 0.25 (what cedar gave and used)\n"
        "\n"
        "What changed last:\n"
        "  2026-01-01 00:00:00 UTC  Version 2 of the rules took effect."
    )


def test_a_run_is_told_with_its_times_and_reasons() -> None:
    run = Run(centre="birch", pilot="birch-3", started=NOW, why=["birch is the centre of its owner."])
    shown = list(
        lines(
            WAITING.model_copy(
                update={"state": JobState.RUNNING, "run": run, "place": None, "verdicts": [], "changes": []}
            )
        )
    )
    assert shown[2:] == [
        "  At birch, pilot birch-3, from 2026-01-01 00:00:00 UTC.",
        "  birch is the centre of its owner.",
    ]


@pytest.fixture
def hub(server: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("FALLOW_HUB", server.url)
    monkeypatch.setenv("FALLOW_CA_FILE", str(server.ca_file))
    monkeypatch.setenv("BEARER_TOKEN", "a.b.c")
    return server


def test_the_command_asks_with_the_users_token_and_prints_json(hub: Any) -> None:
    hub.says(200, WAITING.model_dump(mode="json"))
    result = CliRunner().invoke(fallow, ["explain", "12.0", "--json"])
    assert Explanation.model_validate_json(result.stdout) == WAITING
    assert hub.asked[-1].path == "/v1/jobs/12.0/explain"
    assert hub.asked[-1].headers["authorization"] == "Bearer a.b.c"


def test_what_could_forge_a_terminal_is_not_shown(hub: Any) -> None:
    hub.says(200, WAITING.model_copy(update={"summary": "no\x1b[2J"}).model_dump(mode="json"))
    assert "\x1b" not in CliRunner().invoke(fallow, ["explain", "12.0"]).stdout


@pytest.mark.parametrize("job", ["12", "12.x", "../12.0", "0.0", "12.0/x"])
def test_what_is_no_job_id_is_refused_before_anything_is_asked(hub: Any, job: str) -> None:
    result = CliRunner().invoke(fallow, ["explain", job])
    assert isinstance(result.exception, UsageError)
    assert "is not a job id" in str(result.exception)
    assert hub.asked == []

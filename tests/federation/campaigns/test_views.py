"""What a person is shown of a campaign, and how rows travel."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from rich.console import Console

from fallow.campaigns.client import _bodies
from fallow.campaigns.messages import Campaign, CampaignState, Counts, Failure, NewRows, RowState, Status
from fallow.campaigns.report import _histogram, page
from fallow.campaigns.table import Row
from fallow.campaigns.views import centres, failures, headline, over, pictured, states

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def status(state: CampaignState = CampaignState.RUNNING, **more: object) -> Status:
    """A campaign half-way through."""
    campaign = Campaign(
        name="mc", owner="north.alice", digest="sha256:" + 64 * "a", state=state, reason="", priority=0, created=NOW,
        changed=NOW, rows=10, done=4, failed=1, **more,
    )  # fmt: skip
    counts = [
        Counts(stage="main", state=RowState.DONE, centre="north", rows=3),
        Counts(stage="main", state=RowState.DONE, centre="south", rows=1),
        Counts(stage="main", state=RowState.FAILED, centre="south", failure="exit", rows=1),
        Counts(stage="main", state=RowState.WAITING, rows=5),
    ]
    failure = Failure(
        stage="main",
        failure="exit",
        signature="exit code 3\x1b[2J",
        rows=1,
        sample="r1",
        centres={"south": 1},
    )
    return Status(campaign=campaign, counts=counts, failures=[failure], retried=2)


def test_a_status_says_how_far_it_is_and_since_when_it_is_late() -> None:
    found = status(deadline=NOW)
    words = headline(found, NOW.replace(hour=13))
    assert words == (
        "mc is running: 4 of 10 rows done, 1 failed, 2 retried. It was due at 2026-11-21 12:00 UTC."
    )
    assert centres(found)[1] == {"centre": "south", "running": 0, "done": 1, "failed": 1}
    assert states(found)[0] == {"stage": "main", "state": "done", "rows": 4}


def test_a_stranger_cannot_write_to_the_terminal() -> None:
    assert failures(status())[0]["signature"] == "exit code 3 [2J"
    screen = Console(record=True, width=100)
    screen.print(pictured(status()))
    assert "40.0 %" in screen.export_text()


def test_it_is_over_when_nothing_moves() -> None:
    assert not over(status())
    assert over(status(CampaignState.FINISHED))


def test_a_page_shows_text_as_text() -> None:
    found = {
        "campaign": {"name": "mc", "state": "finished", "reason": "<b>", "notes": "<script>alert(1)</script>"},
        "at": "now", "totals": {"rows": 1}, "states": [], "centres": [], "ended": _histogram([1.0, 2.0]),
        "failures": [{"signature": "<img src=x>"}], "walltime_s": {},
    }  # fmt: skip
    text = page(found)
    assert "<script>" not in text
    assert "<img" not in text
    assert text.count("<rect") == 40


def test_rows_travel_in_bounded_bodies_and_arrive_as_they_were() -> None:
    rows = [Row(f"r{number}", (f'"{number}"', "ü" * 100)) for number in range(45_000)]
    bodies = list(_bodies("main", rows))
    assert max(len(body.encode()) for body, _ in bodies) < 4 * 1024 * 1024
    assert sum(count for _, count in bodies) == len(rows)
    arrived = [row for body, _ in bodies for row in NewRows.model_validate_json(body).rows]
    assert [Row(name, tuple(values)) for name, values in arrived] == rows
    assert json.loads(bodies[0][0])["stage"] == "main"

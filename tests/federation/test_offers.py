"""Offers, and how `fallow capacity` shows them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import click
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from fallow.capacity import Amount, CapacityHistory, CapacityPoint
from fallow.cli import fallow
from fallow.commands.capacity import chart, history_rows, rows
from fallow.commands.words import Duration, from_now
from fallow.offers import Condition, Offer, Shape

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def offer(**changes: Any) -> Offer:
    fields: dict[str, Any] = {
        "centre": "alder",
        "shapes": [Shape(cores=4, memory_mb=8000, disk_mb=1000, count=2)],
        "running_pilots": 1,
        "starts": NOW,
        "expires": NOW + timedelta(hours=2),
        "conditions": [Condition(sentence="At night only.")],
    }
    return Offer.model_validate({**fields, **changes})


def test_an_offer_holds_from_its_start_until_just_before_its_end() -> None:
    made = offer()
    assert made.holds_at(NOW)
    assert not made.holds_at(NOW + timedelta(hours=2))
    assert not made.holds_at(NOW - timedelta(seconds=1))


def test_moments_are_kept_in_utc() -> None:
    local = NOW.astimezone(timezone(timedelta(hours=5)))
    assert offer(starts=local).starts.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("centre", "../etc"),
        ("centre", "alder\n"),
        ("centre", 'al"der'),
        ("starts", datetime(2026, 1, 1)),
        ("shapes", [{"cores": 0, "memory_mb": 1, "disk_mb": 1, "count": 1}]),
        ("conditions", [{"sentence": "two\nlines"}]),
        ("conditions", [{"sentence": "ok", "requirement": "x\x00"}]),
        ("expires", NOW),
    ],
)
def test_what_could_not_be_meant_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        offer(**{field: value})


def test_an_offer_of_a_newer_version_is_still_understood() -> None:
    assert offer(of_a_later_version=1) == offer()


def test_each_shape_is_a_row_and_what_is_said_of_the_offer_is_said_once() -> None:
    shapes = [
        Shape(cores=4, memory_mb=1, disk_mb=1, count=2),
        Shape(cores=8, memory_mb=1, disk_mb=1, count=1, gpus=1),
    ]
    table = rows([offer(shapes=shapes)], NOW)
    assert [row["cores"] for row in table] == [4, 8]
    assert [row["until"] for row in table] == ["in 2 hours", ""]
    assert [row["conditions"] for row in table] == ["At night only.", ""]


def test_centres_come_in_order_and_one_without_shapes_is_shown_too() -> None:
    table = rows([offer(centre="cedar"), offer(centre="birch", shapes=[], state="withdrawn")], NOW)
    assert [(row["centre"], row["state"]) for row in table] == [("birch", "withdrawn"), ("cedar", "open")]


def test_the_command_prints_the_hubs_offers_as_json(
    server: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.says(200, {"offers": [offer().model_dump(mode="json")]})
    monkeypatch.setenv("FALLOW_HUB", server.url)
    monkeypatch.setenv("FALLOW_CA_FILE", str(server.ca_file))
    result = CliRunner().invoke(fallow, ["capacity", "--json"])
    assert [Offer.model_validate(each) for each in json.loads(result.stdout)] == [offer()]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (59, "in 59 seconds"),
        (60, "in 1 minute"),
        (-7200, "2 hours ago"),
        (86_400 * 3 + 5, "in 3 days"),
        (0.5, "now"),
    ],
)
def test_durations_are_said_in_their_largest_unit(seconds: float, words: str) -> None:
    assert from_now(seconds) == words


def history(used: list[float], *, cores: float = 8) -> CapacityHistory:
    points = [
        CapacityPoint(
            centre="alder",
            at=NOW + timedelta(hours=number),
            span_s=3600,
            pilots_offered=2,
            pilots_running=2,
            cores=Amount(offered=cores, running=cores, used=each, idle=cores - each),
            gpus=Amount(offered=0, running=0, used=0, idle=0),
        )
        for number, each in enumerate(used)
    ]
    return CapacityHistory(since=NOW, until=NOW + timedelta(hours=8), step_s=3600, points=points)


def test_a_history_is_a_mean_and_a_chart_with_blanks_for_what_is_not_known() -> None:
    row = history_rows(history([0, 4, 8]))[0]
    assert (row["offered"], row["used"], row["idle"]) == (8, 4, 4)
    assert row["cores_used_over_time"] == "▁▅█     "


def test_a_long_history_is_squeezed_into_the_charts_width() -> None:
    assert chart([1.0] * 50 + [0.0] * 50, 1.0, width=10) == "█████▁▁▁▁▁"


def test_a_centre_that_offers_nothing_has_a_flat_chart() -> None:
    assert history_rows(history([0, 0], cores=0))[0]["cores_used_over_time"] == "▁▁      "


@pytest.mark.parametrize(
    ("written", "seconds"), [("7d", 604_800), ("90m", 5400), ("30s", 30), ("12h", 43_200)]
)
def test_a_time_is_written_with_its_unit(written: str, seconds: int) -> None:
    assert Duration().convert(written, None, None) == seconds


@pytest.mark.parametrize("written", ["", "7", "d", "-1d", "0d", "7 d", "7w", "1e3s"])
def test_a_time_without_sense_is_refused(written: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a time such as 7d, 12h, 90m or 30s"):
        Duration().convert(written, None, None)


def test_the_command_asks_the_hub_for_the_history(
    server: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.says(200, history([1]).model_dump(mode="json"))
    monkeypatch.setenv("FALLOW_HUB", server.url)
    monkeypatch.setenv("FALLOW_CA_FILE", str(server.ca_file))
    result = CliRunner().invoke(fallow, ["capacity", "--since", "7d", "--json"])
    assert CapacityHistory.model_validate_json(result.stdout) == history([1])
    assert server.asked[-1].path == "/v1/capacity/history?since_s=604800"


def test_watching_ends_with_an_interrupt_and_without_a_word(
    server: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.says(200, {"offers": [offer().model_dump(mode="json")]})
    monkeypatch.setenv("FALLOW_HUB", server.url)
    monkeypatch.setenv("FALLOW_CA_FILE", str(server.ca_file))
    monkeypatch.setattr("fallow.output.time.sleep", Mock(side_effect=KeyboardInterrupt))
    result = CliRunner().invoke(fallow, ["capacity", "--watch"])
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "alder" in result.stdout

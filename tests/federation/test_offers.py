"""Offers, and how `fallow capacity` shows them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from fallow.cli import fallow
from fallow.commands.capacity import rows
from fallow.commands.words import from_now
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

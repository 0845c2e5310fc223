"""A cycle against a real database; queue, collector and negotiator are stood in for, so that they can fail."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import classad2
import pytest
from tests.matcher.conftest import raw_settings

from fallow.errors import NotAvailableError
from fallow.rules import Rules
from fallow_matcher.matching import waiting
from fallow_matcher.matching.cycle import Matcher
from fallow_matcher.matching.decision import last
from fallow_matcher.matching.factors import UNRANKED
from fallow_matcher.settings import HubSettings

NOW = 1_795_000_000.0


def idle(number: int, centre: str, work_type: str) -> Any:
    return classad2.ClassAd(
        {
            "ClusterId": number,
            "ProcId": 0,
            "AutoClusterId": number,
            "AccountingGroup": f"{centre}.{work_type}.user",
            "FallowUserCentre": centre,
            "FallowWorkType": work_type,
            "QDate": int(NOW) - 60,
            "EnteredCurrentStatus": int(NOW) - 60,
            "JobPrio": 0,
            "Requirements": True,
        }
    )


class Hub:
    """HTCondor on the hub, as far as the matcher sees it."""

    def __init__(self) -> None:
        self.waits = [idle(1, "north", "test"), idle(2, "south", "production")]
        self.runs: list[Any] = []
        self.set: dict[str, float] = {}
        self.fails = 0
        """How many factors are set before the negotiator goes away; 0 for never."""
        self.offered: list[int] = []
        """The jobs for which the queue was to offer all that waits."""

    def jobs(self, constraint: str, attributes: Sequence[str] = (), limit: int = -1) -> list[Any]:
        if constraint == waiting.CONSTRAINT:
            return self.waits
        if constraint.startswith("ClusterId"):
            return [ad for ad in self.waits if f"ClusterId == {ad['ClusterId']} " in constraint]
        return self.runs

    def slots(self, constraint: str, attributes: Sequence[str] = ()) -> list[Any]:
        return [classad2.ClassAd({"FallowCentre": "south", "TotalSlotCpus": 2, "Requirements": True})]

    def factors(self) -> Mapping[str, float]:
        return dict(self.set)

    def set_factors(self, factors: Mapping[str, float]) -> None:
        for count, (name, factor) in enumerate(factors.items(), start=1):
            self.set[name] = factor
            if count == self.fails:
                raise NotAvailableError("The negotiator does not answer.")

    def arrange(self, giving: Mapping[str, int], *, home_first: bool) -> bool:
        return bool(giving) and home_first

    def take(self, rules: Rules, *, room: bool) -> bool:
        return bool(rules)

    def offer(self, job: Mapping[str, Any], now: float) -> bool:
        self.offered.append(int(job["ClusterId"]))
        return True


@pytest.fixture
def settings(tmp_path: Path) -> HubSettings:
    (tmp_path / "state").mkdir()
    return HubSettings(**raw_settings(tmp_path))


@pytest.fixture
def hub() -> Hub:
    return Hub()


def matcher(settings: HubSettings, hub: Hub) -> Matcher:
    return Matcher(settings, hub, hub, hub, clock=lambda: NOW)


def test_a_cycle_orders_what_waits_and_keeps_its_decision(settings: HubSettings, hub: Hub) -> None:
    decision = matcher(settings, hub).cycle()

    assert [(place.centre, place.work_type) for place in decision.places] == [
        ("south", "production"),
        ("north", "test"),
    ]
    assert hub.set["south.production.user"] < hub.set["north.test.user"] < UNRANKED
    assert last(settings.state_dir) == decision


def test_a_job_that_waits_for_long_is_offered_again(settings: HubSettings, hub: Hub) -> None:
    hub.waits[1]["EnteredCurrentStatus"] = int(NOW) - 61
    matcher(settings, hub).cycle()
    for job in hub.waits:
        job["EnteredCurrentStatus"] = int(NOW) - 29
    matcher(settings, hub).cycle()
    assert hub.offered == [2]


def test_a_hostile_priority_stops_nothing(settings: HubSettings, hub: Hub) -> None:
    for hostile in ("high", classad2.ExprTree("time()"), 1.5):
        hub.waits[0]["JobPrio"] = hostile
        matcher(settings, hub).cycle()
    assert hub.offered == [2, 2, 2]


def test_the_same_cycle_again_changes_nothing(settings: HubSettings, hub: Hub) -> None:
    first = matcher(settings, hub).cycle()
    before = dict(hub.set)

    assert matcher(settings, hub).cycle() == first
    assert hub.set == before


def test_a_successor_finishes_what_was_half_done(settings: HubSettings, hub: Hub) -> None:
    hub.fails = 1
    with pytest.raises(NotAvailableError):
        matcher(settings, hub).cycle()
    assert len(hub.set) == 1
    hub.fails = 0

    matcher(settings, hub).cycle()

    assert len(hub.set) == 2


def test_work_that_is_gone_loses_its_place(settings: HubSettings, hub: Hub) -> None:
    matcher(settings, hub).cycle()
    hub.waits = hub.waits[:1]

    matcher(settings, hub).cycle()

    assert hub.set["south.production.user"] == UNRANKED


def test_with_a_locked_database_it_goes_on_with_the_balances_of_the_last_cycle(
    settings: HubSettings, hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("fallow_matcher.database.engine.BUSY_S", 0.05)
    acting = matcher(settings, hub)
    acting.cycle()
    hub.waits = hub.waits[:1]

    with closing(sqlite3.connect(settings.state_dir / "fallow.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        decision = acting.cycle()

    assert [place.centre for place in decision.places] == ["north"]
    assert "going on with the rules and balances of the last cycle" in caplog.text


def test_without_a_database_from_the_start_there_is_no_decision(settings: HubSettings, hub: Hub) -> None:
    (settings.state_dir / "fallow.sqlite").mkdir()

    with pytest.raises(NotAvailableError, match="database"):
        matcher(settings, hub).cycle()

    assert hub.set == {}


def test_on_a_full_disk_the_order_is_set_and_the_last_document_stays(
    settings: HubSettings, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    acting = matcher(settings, hub)
    first = acting.cycle()
    hub.waits = hub.waits[:1]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fallow_matcher.matching.decision.write_private", full)
    with pytest.raises(NotAvailableError, match="No space left"):
        acting.cycle()

    assert hub.set["south.production.user"] == UNRANKED
    assert last(settings.state_dir) == first

"""The report of a month: edges, days, time zones, and that the same ledger gives the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from fallow.ledger.messages import Sum
from fallow.ledger.monthly import MonthReport, digest_of
from fallow.rules import default_text, parse_rules
from fallow_matcher.database import writing
from fallow_matcher.ledger.ingest import record
from fallow_matcher.ledger.monthly import month_report
from fallow_matcher.ledger.run import Outcome, Run
from fallow_matcher.ledger.tables import REPORT

DECEMBER = datetime(2026, 12, 1, tzinfo=UTC).timestamp()


def run(number: int, begin_s: float, wall_s: float | None = 3600, **changes: Any) -> Run:
    """A run of north's on two cores at south, `begin_s` after November's end."""
    started = DECEMBER + begin_s
    made = Run(
        global_job_id=f"queue@hub#{number}.0#1", run=1, job=f"{number}.0", provider="south", pilot="south-1",
        consumer="north", user="alice", work_type="analysis", resource_class="cpu", cores=2, gpus=0, factor=1.5,
        requested_s=7200, submitted=started - 60, started=started, ended=None if wall_s is None else started + wall_s,
        wall_s=wall_s, cpu_s=None, outcome=Outcome.RUNNING if wall_s is None else Outcome.DONE, reason="",
    )  # fmt: skip
    return replace(made, **changes)


def keep(database: Engine, *runs: Run) -> None:
    with writing(database) as connection:
        record(connection, runs, parse_rules(default_text()), DECEMBER + 10**6)


def month(database: Engine, name: str, centre: str = "north") -> MonthReport:
    return month_report(database, centre, name, [])


def both(database: Engine, centre: str = "north") -> tuple[MonthReport, MonthReport]:
    """November and December."""
    return month(database, "2026-11", centre), month(database, "2026-12", centre)


def test_a_run_across_the_edge_is_split_and_counts_as_a_run_where_it_ended(database: Engine) -> None:
    keep(database, run(1, -1200))
    november, december = both(database)
    group = {"provider": "south", "work_type": "analysis", "resource_class": "cpu"}
    assert november.got == [Sum(group=group, runs=0, wall_s=1200, core_s=2400, value=3600)]
    assert december.got == [Sum(group=group, runs=1, wall_s=2400, core_s=4800, value=7200)]


def test_the_time_that_is_charged_is_what_was_asked_for(database: Engine) -> None:
    keep(database, run(1, -1200, requested_s=1800))
    november, december = both(database)
    assert [november.got[0].value, december.got[0].value] == [3600, 1800]
    assert [november.got[0].core_s, december.got[0].core_s] == [2400, 4800]


def test_a_run_that_ends_as_the_month_does_is_of_the_next_one(database: Engine) -> None:
    keep(database, run(1, -3600))
    november, december = both(database)
    assert [november.got[0].runs, november.got[0].core_s] == [0, 7200]
    assert [december.got[0].runs, december.got[0].core_s] == [1, 0]


def test_whom_it_helped_is_what_others_got(database: Engine) -> None:
    keep(database, run(1, 0), run(2, 0, consumer="west", user="zoe"), run(3, 0, consumer="south", user="bob"))
    south = month(database, "2026-12", "south")
    assert [(one.group["consumer"], one.core_s) for one in south.given] == [("north", 7200), ("west", 7200)]
    assert [(one.group["work_type"], one.value) for one in south.home] == [("analysis", 0)]
    assert south.got == []
    assert [one.group["user"] for one in south.people] == ["bob"]


def test_how_runs_ended_is_told_by_side(database: Engine) -> None:
    keep(database, run(1, 0), run(2, 0, outcome=Outcome.EVICTED))
    found = {
        (one.group["side"], one.group["outcome"]): (one.core_s, one.value)
        for one in month(database, "2026-12").ends
    }
    assert found == {("got", "done"): (7200, 10_800), ("got", "evicted"): (7200, 0)}


def test_a_run_goes_to_each_day_that_it_touched(database: Engine) -> None:
    keep(database, run(1, -1800, 2 * 86_400, requested_s=10**6))
    november, december = both(database)
    assert [(day.day, day.got_core_s) for day in november.days] == [("2026-11-30", 3600)]
    assert [(day.day, day.got_core_s) for day in december.days] == [
        ("2026-12-01", 172_800),
        ("2026-12-02", 169_200),
    ]


def test_gpus_are_counted_in_place_of_cores_and_apart(database: Engine) -> None:
    keep(database, run(1, 0), run(2, 0, cores=8, gpus=1, resource_class="a100"))
    found = month(database, "2026-12")
    assert [(one.group["resource_class"], one.core_s) for one in found.got] == [("a100", 3600), ("cpu", 7200)]


def test_a_run_that_goes_on_is_in_no_sum_and_one_that_nobody_measured_is_worth_nothing(
    database: Engine,
) -> None:
    keep(database, run(1, -1200, None), replace(run(2, -1200), outcome=Outcome.LOST, wall_s=None))
    november, december = both(database)
    assert (november.running, december.running) == (1, 1)
    assert [(one.got[0].runs, one.got[0].core_s) for one in (november, december)] == [(0, 0), (1, 0)]


def test_pilots_offered_in_each_month_what_fell_into_it(database: Engine) -> None:
    values = {"centre": "north", "reason": "", "used_core_s": 0, "idle_core_s": 0, "document": ""}
    going = {"pilot": "north-2", "started": DECEMBER + 50, "ended": None, "written": DECEMBER + 60}
    ended = {
        "pilot": "north-1",
        "started": DECEMBER - 30,
        "ended": DECEMBER + 70,
        "written": DECEMBER + 70,
    }
    with writing(database) as connection:
        connection.execute(
            insert(REPORT), [{**values, **one, "offered_core_s": 400} for one in (going, ended)]
        )
    november, december = both(database)
    assert (november.pilots, november.offered_core_s) == (1, 120)
    assert (december.pilots, december.offered_core_s) == (2, 680)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock shows another day."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_no_time_zone_of_the_machine_moves_an_edge(database: Engine, request: pytest.FixtureRequest) -> None:
    keep(database, run(1, -1200), run(2, -86_400))
    here = both(database)
    request.getfixturevalue("elsewhere")
    assert both(database) == here


def test_the_same_ledger_gives_the_same_and_another_another_digest(database: Engine) -> None:
    runs = [run(number, 0.1 * number, 1000.1 / number) for number in range(1, 40)]
    keep(database, *runs)
    first, other_month = month(database, "2026-12"), month(database, "2026-11")
    assert month(database, "2026-12").model_dump_json() == first.model_dump_json()
    assert digest_of(MonthReport.model_validate_json(first.model_dump_json())) == first.digest
    keep(database, run(40, 0))
    assert month(database, "2026-12").digest != first.digest
    assert month(database, "2026-11").digest == other_month.digest


def test_the_order_in_which_runs_came_changes_nothing(database: Engine) -> None:
    runs = [run(number, 0.1 * number, 1000.1 / number) for number in range(1, 40)]
    keep(database, *runs)
    north = month(database, "2026-12")
    mirrored = [
        replace(one, global_job_id=f"x{one.global_job_id}", consumer="west") for one in reversed(runs)
    ]
    keep(database, *mirrored)
    west = month(database, "2026-12", "west")
    assert [(one.core_s, one.value) for one in west.got] == [(one.core_s, one.value) for one in north.got]

"""The hub's view and the pilots': stored, compared, summed up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from fallow.ledger.messages import Agreement, Difference, Key
from fallow.reports import JobRun, PilotReport, RunEnd
from fallow_matcher.database import reading
from fallow_matcher.ledger import query, reports
from fallow_matcher.ledger.reconcile import AWAITED_S, reconcile
from fallow_matcher.ledger.tables import PILOT_RUN

from .conftest import DISCONNECTED, EVICTED, NOW, Hub, epoch_ad, job_ad


def moment(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)


def run(cluster: int = 1, *, start: float = NOW - 1000, wall_s: float = 100, **changes: Any) -> JobRun:
    """A run as its pilot saw it; as `epoch_ad` tells it unless changed."""
    values = {
        "job": f"{cluster}.0",
        "global_job_id": f"queue@hub#{cluster}.0#1794990000",
        "started": moment(start),
        "ended": moment(start + wall_s),
        "cores": 2,
        "outcome": RunEnd.DONE,
    }
    return JobRun(**{**values, **changes})


def report(*runs: JobRun, written: float = NOW, ended: bool = True, **changes: Any) -> PilotReport:
    """The report of `south-1`."""
    values = {
        "pilot": "south-1",
        "centre": "south",
        "written": moment(written),
        "started": moment(NOW - 2000),
        "ended": moment(written) if ended else None,
        "code": 200 if ended else None,
        "offered_core_s": 4000,
        "used_core_s": 200,
        "idle_core_s": 3800,
        "runs": list(runs),
    }
    return PilotReport(**{**values, **changes})


def compared(hub: Hub) -> tuple[Agreement, list[Difference]]:
    """The agreement of `south`."""
    agreements, differences = reconcile(hub.engine, 0, NOW + 10**6, hub.now)
    (found,) = agreements
    assert found.centre == "south"
    return found, differences.get("south", [])


def test_a_report_is_read_back_as_it_was_written(hub: Hub) -> None:
    reports.keep(hub.engine, report(run()))
    assert reports.latest(hub.engine, "south-1") == report(run())
    assert reports.latest(hub.engine, "south-2") is None


def test_a_report_that_comes_late_does_not_undo_a_newer_one(hub: Hub) -> None:
    reports.keep(hub.engine, report(run(1), run(2)))
    reports.keep(hub.engine, report(run(1), written=NOW - 500, ended=False))
    assert reports.latest(hub.engine, "south-1") == report(run(1), run(2))


def test_runs_are_kept_that_a_later_report_lists_no_more(hub: Hub) -> None:
    reports.keep(hub.engine, report(run(1), written=NOW - 500, ended=False))
    reports.keep(hub.engine, report(run(2), runs_left_out=1))
    reports.keep(hub.engine, report(run(2), runs_left_out=1))
    with reading(hub.engine) as connection:
        assert len(connection.execute(select(PILOT_RUN)).all()) == 2


def test_views_that_agree_have_no_difference(hub: Hub) -> None:
    hub.write(epoch_ad(1))
    hub.look()
    reports.keep(hub.engine, report(run(1)))
    found, differences = compared(hub)
    assert (found.both, found.share, differences) == (1, 0, [])
    assert (found.hub_core_s, found.pilot_core_s) == (200, 200)


def test_what_clocks_of_whole_seconds_make_of_a_run_is_no_difference(hub: Hub) -> None:
    hub.write(epoch_ad(1, wall_s=101))
    hub.look()
    reports.keep(hub.engine, report(run(1)))
    assert compared(hub)[0].share == 0


def test_a_longer_run_at_the_hub_is_a_difference(hub: Hub) -> None:
    hub.write(epoch_ad(1, wall_s=150))
    hub.look()
    reports.keep(hub.engine, report(run(1)))
    found, (difference,) = compared(hub)
    assert found.unexplained_core_s == 100
    assert difference.what == "The hub measured 150 s, the pilot 100 s."


def test_more_cores_at_the_pilot_are_a_difference(hub: Hub) -> None:
    hub.write(epoch_ad(1))
    hub.look()
    reports.keep(hub.engine, report(run(1, cores=4)))
    assert compared(hub)[0].unexplained_core_s == 200


def test_a_run_that_only_the_pilot_knows_is_a_difference(hub: Hub) -> None:
    reports.keep(hub.engine, report(run(1)))
    found, (difference,) = compared(hub)
    assert (found.unexplained_core_s, found.share) == (200, 1)
    assert difference.hub == ""


def test_a_run_that_the_pilot_had_to_report_and_did_not_is_a_difference(hub: Hub) -> None:
    hub.write(epoch_ad(1))
    hub.look()
    reports.keep(hub.engine, report())
    assert compared(hub)[0].share == 1


def test_a_run_may_be_reported_a_while_later(hub: Hub) -> None:
    hub.write(epoch_ad(1, start=NOW - 200, wall_s=100))
    hub.look()
    found, differences = compared(hub)
    assert (found.awaited, found.share, differences) == (1, 0, [])
    hub.now += AWAITED_S
    assert compared(hub)[0].share == 1


def test_a_run_that_was_not_paid_weighs_nothing_but_is_listed(hub: Hub) -> None:
    hub.write(epoch_ad(1, **DISCONNECTED))
    hub.look()
    hub.now += AWAITED_S
    found, differences = compared(hub)
    assert (found.share, [each.counts for each in differences]) == (0, [False])


def test_a_job_that_ran_twice_at_one_pilot_is_compared_run_by_run(hub: Hub) -> None:
    hub.write(epoch_ad(1, run=1, **EVICTED), epoch_ad(1, run=2, start=NOW - 500))
    hub.look()
    reports.keep(hub.engine, report(run(1, outcome=RunEnd.EVICTED), run(1, start=NOW - 500)))
    found, differences = compared(hub)
    assert (found.both, found.share, differences) == (2, 0, [])


def test_a_run_that_the_pilot_finished_and_the_hub_lost_is_a_difference(hub: Hub) -> None:
    hub.write(epoch_ad(9, FallowUserCentre="south", MachineAttrFallowCentre0=None))
    hub.look(job_ad(1))
    hub.look()
    reports.keep(hub.engine, report(run(1)))
    found, (difference,) = compared(hub)
    assert (found.unexplained_core_s, difference.hub) == (200, "lost")


def test_a_run_at_the_edge_of_the_time_asked_for_is_no_difference(hub: Hub) -> None:
    hub.write(epoch_ad(1, wall_s=101))
    hub.look()
    reports.keep(hub.engine, report(run(1)))
    edge = NOW - 1000 + 100.5
    for since, until in ((0, edge), (edge, NOW)):
        _, differences = reconcile(hub.engine, since, until, hub.now)
        assert not any(differences.values())


def test_what_pilots_offered_is_summed_up_by_centre(hub: Hub) -> None:
    reports.keep(hub.engine, report())
    reports.keep(hub.engine, report(pilot="south-2", ended=False))
    (found,) = query.pilots(hub.engine, 0, NOW)
    assert (found.centre, found.pilots, found.ends) == ("south", 2, {"200": 1, "running": 1})
    assert (found.offered_core_s, found.used_core_s, found.idle_core_s) == (8000, 400, 7600)


def test_runs_are_summed_up_by_what_is_asked_for(hub: Hub) -> None:
    hub.write(epoch_ad(1), epoch_ad(2, FallowUserCentre="east"), epoch_ad(3, **EVICTED))
    hub.look()
    found = query.sums(hub.engine, [Key.CONSUMER, Key.OUTCOME], 0, NOW)
    assert [(tuple(each.group.values()), each.runs, each.core_s, each.value) for each in found] == [
        (("east", "done"), 1, 200, 200),
        (("north", "done"), 1, 200, 200),
        (("north", "evicted"), 1, 200, 0),
    ]


@pytest.mark.parametrize(
    ("wanted", "runs"),
    [({"consumer": "east"}, 1), ({"provider": "south"}, 2), ({"lent": True}, 1), ({"consumer": "west"}, 0)],
)
def test_sums_can_be_of_some_runs_only(hub: Hub, wanted: dict[str, Any], runs: int) -> None:
    hub.write(epoch_ad(1, FallowUserCentre="south"), epoch_ad(2, FallowUserCentre="east"))
    hub.look()
    assert sum(each.runs for each in query.sums(hub.engine, [Key.PROVIDER], 0, NOW, **wanted)) == runs


def test_a_run_counts_in_the_month_and_on_the_day_of_its_end_in_utc(hub: Hub) -> None:
    edge = 1_796_083_200  # 2026-12-01T00:00:00Z
    hub.now = edge + 100
    hub.write(epoch_ad(1, start=edge - 10, wall_s=10), epoch_ad(2, start=edge - 10, wall_s=9))
    hub.look()
    months = query.sums(hub.engine, [Key.MONTH], 0, hub.now)
    days = query.sums(hub.engine, [Key.DAY], 0, hub.now)
    assert [(each.group["month"], each.runs) for each in months] == [("2026-11", 1), ("2026-12", 1)]
    assert [each.group["day"] for each in days] == ["2026-11-30", "2026-12-01"]


def test_gpus_are_counted_in_place_of_cores(hub: Hub) -> None:
    hub.write(epoch_ad(1, wall_s=100, MachineAttrGPUs0=4, MachineAttrGPUs_DeviceName0="A"))
    hub.look()
    (found,) = query.sums(hub.engine, [Key.RESOURCE_CLASS], 0, NOW)
    assert (found.group["resource_class"], found.core_s) == ("gpu:a", 400)


def test_lines_come_in_pages_and_are_those_of_the_centre(hub: Hub) -> None:
    hub.write(
        *(epoch_ad(number) for number in range(1, 6)),
        epoch_ad(9, FallowUserCentre="x", MachineAttrFallowCentre0="y"),
    )
    hub.look()
    first = query.lines(hub.engine, "north", 0, NOW, limit=3)
    rest = query.lines(hub.engine, "north", 0, NOW, after=first[-1].number, limit=3)
    assert sorted(line.job for line in (*first, *rest)) == ["1.0", "2.0", "3.0", "4.0", "5.0"]
    assert len(query.lines(hub.engine, "south", 0, NOW)) == 5
    assert query.lines(hub.engine, "west", 0, NOW) == []


def test_those_that_have_ended_lately_are_known(hub: Hub) -> None:
    reports.keep(hub.engine, report(written=NOW - 500))
    reports.keep(hub.engine, report(pilot="south-2", written=NOW))
    reports.keep(hub.engine, report(pilot="south-3", ended=False))
    assert reports.ended(hub.engine, NOW - 100) == {"south-2"}

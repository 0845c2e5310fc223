"""What the federation saved a centre's jobs in waiting."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, insert

from fallow.rules import default_text
from fallow_matcher.database import writing
from fallow_matcher.ledger.tables import RUN
from fallow_matcher.simulation.compare import alone
from fallow_matcher.simulation.recorded import Part
from fallow_matcher.simulation.saved import waits
from fallow_matcher.simulation.workload import Workload


def ran(number: int, started: float, **changes: Any) -> dict[str, Any]:
    """A run of a job of birch that came at 1000 and ran for 100 s on one core."""
    return {
        "global_job_id": f"queue@hub#{number}.0#1", "run": 1, "job": f"{number}.0", "provider": "alder", "pilot": "",
        "consumer": "birch", "user": "bob", "work_type": "analysis", "resource_class": "cpu", "cores": 1, "gpus": 0,
        "factor": 1.0, "requested_s": 600, "submitted": 1000, "started": started, "ended": started + 100,
        "wall_s": 100, "cpu_s": None, "outcome": "done", "reason": "", "value": 0, "valued_at": started, **changes,
    }  # fmt: skip


def kept(database: Engine, *rows: dict[str, Any]) -> None:
    with writing(database) as connection:
        connection.execute(insert(RUN), list(rows))


def simulated(work: Workload) -> Any:
    return alone(default_text(), work)


def told(database: Engine, centre: str = "birch", until: float = 5000) -> Any:
    return waits(database, Part(centre, 0, until), simulated)


def test_what_jobs_would_have_waited_alone_is_held_against_what_they_did(database: Engine) -> None:
    # One core at home: alone the second and third job wait for 100 and 200 s.
    kept(database, ran(1, 1010, provider="birch"), ran(2, 1010), ran(3, 1010))
    (found,) = told(database)
    assert (found.resource_class, found.jobs, found.mean_s, found.p95_s) == ("cpu", 3, 10, 10)
    assert (found.alone_jobs, found.alone_mean_s, found.alone_p95_s) == (3, 100, 200)
    assert found.saved_s == 300 - 30


def test_a_job_that_cannot_run_at_home_saves_nothing(database: Engine) -> None:
    kept(database, ran(1, 1010, provider="birch"), ran(2, 1500, cores=8))
    (found,) = told(database)
    assert (found.jobs, found.alone_jobs, found.alone_mean_s, found.saved_s) == (2, 1, 0, -10)


def test_without_own_machines_nothing_is_said_about_being_alone(database: Engine) -> None:
    kept(database, ran(1, 1010))
    (found,) = told(database)
    assert (found.alone_jobs, found.alone_mean_s, found.saved_s) == (0, None, None)


def test_what_comes_later_changes_nothing(database: Engine) -> None:
    kept(database, ran(1, 1010, provider="birch"), ran(2, 1010))
    before = told(database)
    kept(database, ran(3, 6000, provider="birch", cores=8), ran(4, 6000))
    assert told(database) == before


def test_a_centre_without_jobs_waited_for_nothing(database: Engine) -> None:
    kept(database, ran(1, 1010))
    assert told(database, "alder") == []

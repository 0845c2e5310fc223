"""Where simulated work comes from: traces and the ledger; and what is told of it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, insert

from fallow.errors import NotAvailableError, SettingsError
from fallow.rules import default_text
from fallow_matcher.database import writing
from fallow_matcher.ledger.tables import REPORT, RUN
from fallow_matcher.simulation import apart, swf
from fallow_matcher.simulation.command import POLICIES, simulate
from fallow_matcher.simulation.compare import under
from fallow_matcher.simulation.recorded import described, recorded
from fallow_matcher.simulation.workload import Job, Step, Workload, steady

HURRIED = default_text().replace("ageing_s = 3600", "ageing_s = 60")


def swf_line(number: int, submit: int, run: int, cores: int = 1, group: int = 1, requested: int = -1) -> str:
    return f"{number} {submit} -1 {run} {cores} -1 -1 -1 {requested} -1 1 1 {group} -1 -1 -1 -1 -1"


def trace(path: Path, *lines: str) -> Path:
    path.write_text("; Version: 2.2\n\n" + "\n".join(lines) + "\n")
    return path


def test_a_trace_gives_the_jobs_that_ran(tmp_path: Path) -> None:
    found = swf.read(
        trace(tmp_path / "t.swf", swf_line(1, 0, 60, 2, 7, 600), swf_line(2, 5, 0), swf_line(3, 5, -1))
    )
    assert found == [swf.Record(0, 60, 2, 600, "7")]


def test_a_gzipped_trace_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "t.swf.gz"
    path.write_bytes(gzip.compress((swf_line(1, 0, 60) + "\n").encode()))
    assert len(swf.read(path)) == 1


@pytest.mark.parametrize(
    "line", ["1 2 3", *(swf_line(1, 0, 60).replace("60", word) for word in ("sixty", "inf", "nan"))]
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(SettingsError, match="line 3:"):
        swf.read(trace(tmp_path / "t.swf", line))


def test_groups_are_dealt_so_that_centres_have_about_as_much_work() -> None:
    records = [
        swf.Record(0, length, 1, -1, group) for group, length in (("a", 9), ("b", 5), ("c", 4), ("d", 1))
    ]
    dealt = swf.deal(records, ["alder", "birch"], "analysis")
    assert [(job.wall_s, job.centre) for job in dealt] == [
        (9, "alder"),
        (5, "birch"),
        (4, "birch"),
        (1, "alder"),
    ]
    assert [job.requested_s for job in dealt] == [9, 5, 4, 1]


def ran(number: int, submitted: float | None, started: float, wall_s: float, **more: Any) -> dict[str, Any]:
    return {
        "global_job_id": f"hub#{number}",
        "run": 1,
        "job": f"{number}.0",
        "provider": "alder",
        "pilot": "alder-1",
        "consumer": "birch",
        "user": "bob",
        "work_type": "analysis",
        "resource_class": "cpu",
        "cores": 2,
        "gpus": 0,
        "factor": 1.0,
        "requested_s": 600,
        "submitted": submitted,
        "started": started,
        "ended": started + wall_s,
        "wall_s": wall_s,
        "outcome": "done",
        "reason": "",
        "value": 0.0,
        "valued_at": started,
        **more,
    }


def test_the_ledgers_finished_jobs_become_a_workload(database: Engine) -> None:
    with writing(database) as connection:
        connection.execute(
            insert(RUN),
            [
                ran(1, 1000, 1010, 100),
                ran(2, 1005, 1050, 100, outcome="evicted"),
                ran(3, None, 1050, 100),
                ran(4, 1100, 1200, 50, consumer="cedar", resource_class="a100", cores=8, gpus=1),
            ],
        )
    found = recorded(database)
    assert found.jobs == [
        Job("birch", 1000, 100, 600, 2, "analysis"),
        Job("cedar", 1100, 50, 600, 1, "analysis", "a100"),
    ]
    # Nobody's pilots reported: as much as was ever held at once.
    assert {(step.centre, step.resource_class, step.units) for step in found.capacity} == {
        ("alder", "cpu", 2),
        ("alder", "a100", 1),
    }
    assert described(found).startswith("2 jobs submitted from 1970-01-01 00:16 to 1970-01-01 00:18 UTC")
    assert under(HURRIED, found)[0].resource_class == "a100"


def test_capacity_is_what_the_pilots_reported_and_at_last_the_most_of_it(database: Engine) -> None:
    report = {"centre": "alder", "reason": "", "used_core_s": 0, "idle_core_s": 0, "document": ""}
    with writing(database) as connection:
        connection.execute(insert(RUN), [ran(1, 1000, 1010, 100), ran(2, 3000, 3010, 100)])
        connection.execute(
            insert(REPORT),
            [
                {
                    **report,
                    "pilot": "alder-1",
                    "started": 900,
                    "ended": 1400,
                    "written": 1400,
                    "offered_core_s": 2000,
                },
                {
                    **report,
                    "pilot": "alder-2",
                    "started": 1300,
                    "ended": None,
                    "written": 2300,
                    "offered_core_s": 2000,
                },
            ],
        )
    assert recorded(database).capacity == [
        Step("alder", 900, 4),
        Step("alder", 1300, 6),
        Step("alder", 1400, 2),
        Step("alder", 2300, 0),
        Step("alder", 3000, 6),
    ]


def test_an_empty_ledger_is_an_empty_workload(database: Engine) -> None:
    assert recorded(database).jobs == []


def workload() -> Workload:
    jobs = [
        Job(centre, 10.0 * number, 100, 100, 1, "analysis")
        for number in range(40)
        for centre in ("alder", "birch")
    ]
    return Workload(jobs, steady({"alder": 8, "birch": 4}))


def test_a_simulation_apart_gives_what_one_here_gives() -> None:
    assert apart.compare(workload(), default_text(), HURRIED) == [
        under(default_text(), workload()),
        under(HURRIED, workload()),
    ]


def test_outcomes_tell_waits_shares_and_balance() -> None:
    alder, birch = under(default_text(), workload())
    assert (alder.centre, alder.jobs, birch.jobs) == ("alder", 40, 40)
    assert birch.mean_wait_s > 0
    assert birch.p95_wait_s >= birch.mean_wait_s
    assert (alder.share or 0) + (birch.share or 0) == pytest.approx(1)
    assert alder.balance == pytest.approx(-birch.balance)


def test_a_simulation_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = [Job("alder", 0, 1, 1, 1, f"type-{number}") for number in range(3000)]
    with pytest.raises(NotAvailableError, match="took more than"):
        apart.compare(Workload(crowd, steady({"alder": 1})), default_text(), cpu_s=1)


def test_the_command_compares_two_sets_of_rules_on_a_trace(tmp_path: Path) -> None:
    path = trace(tmp_path / "t.swf", *(swf_line(number, number, 100, 1, number % 3) for number in range(60)))
    proposal = tmp_path / "rules.toml"
    proposal.write_text(HURRIED)
    command = [str(proposal), "--trace", str(path), "--centre", "alder=2", "--centre", "birch=1"]
    table = CliRunner().invoke(simulate, command, catch_exceptions=False)
    assert "60 jobs on at most: alder cpu 2, birch cpu 1" in table.output
    found = json.loads(CliRunner().invoke(simulate, [*command, "--json"], catch_exceptions=False).output)
    assert [each["policy"] for each in found["policies"]] == [*POLICIES[:-1], str(proposal)]
    assert {each["total"]["jobs"] for each in found["policies"]} == {60}


@pytest.mark.parametrize("said", ["alder", "alder=none", "=4", "alder=0"])
def test_a_centre_without_cores_is_refused(tmp_path: Path, said: str) -> None:
    proposal = tmp_path / "rules.toml"
    proposal.write_text(HURRIED)
    done = CliRunner().invoke(simulate, [str(proposal), "--trace", "t.swf", "--centre", said])
    assert f"--centre {said}: it is NAME=CORES." in str(done.exception)

"""What a pilot tells the hub."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fallow.reports import MAX_RUNS, RunEnd
from fallow_pilots.node.history import Ran, Run
from fallow_pilots.node.report import Reporter, report
from fallow_pilots.outcome import Code, Outcome
from fallow_pilots.spec import PilotSpec

Make = Callable[..., PilotSpec]
RUN = Run("67.3", "queue@hub#67.3#1", 1000.0, 1010.0, 10.0, 2, 0, RunEnd.FAILED, 7)
END = Outcome(
    code=Code.WORK_DONE,
    reason="The pilot\nran 1 jobs.",
    started=datetime.fromtimestamp(900, UTC),
    ended=datetime.fromtimestamp(1100, UTC),
)


def ran(*runs: Run) -> Ran:
    made = Ran()
    for run in runs:
        made.add(run)
    return made


def test_a_running_pilot_has_no_code_yet(make_spec: Make) -> None:
    said = report(make_spec(), started=900, offered=(950, 4), ran=ran(RUN), idle_s=30, now=1000)
    assert (said.code, said.ended) == (None, None)
    assert (said.offered_core_s, said.used_core_s, said.idle_core_s) == (200, 20, 120)


def test_at_the_end_what_was_not_used_was_idle(make_spec: Make) -> None:
    said = report(make_spec(), started=900, offered=(950, 4), ran=ran(RUN), idle_s=0, now=1050, outcome=END)
    assert (said.offered_core_s, said.used_core_s, said.idle_core_s) == (400, 20, 380)
    assert (said.code, said.reason) == (200, "The pilot ran 1 jobs.")


def test_a_pilot_that_never_joined_offered_nothing(make_spec: Make) -> None:
    said = report(make_spec(), started=900, offered=None, ran=Ran(), idle_s=0, now=1050, outcome=END)
    assert (said.offered_core_s, said.runs) == (0, [])


def test_runs_are_told_with_their_ends(make_spec: Make) -> None:
    (run,) = report(make_spec(), started=900, offered=None, ran=ran(RUN), idle_s=0, now=1050).runs
    assert (run.job, run.outcome, run.exit_code, run.cores) == ("67.3", RunEnd.FAILED, 7, 2)


def test_only_the_newest_runs_are_listed_and_all_are_counted(make_spec: Make) -> None:
    said = report(
        make_spec(), started=900, offered=None, ran=ran(*[RUN] * (MAX_RUNS + 5)), idle_s=0, now=1050
    )
    assert (len(said.runs), said.runs_left_out, said.jobs_run) == (MAX_RUNS, 5, MAX_RUNS + 5)


def test_a_hub_that_is_away_costs_no_more_than_the_limit(
    make_spec: Make, caplog: pytest.LogCaptureFixture
) -> None:
    spec = make_spec(hub="https://127.0.0.1:9")
    reporter = Reporter(spec)
    reporter.send(report(spec, started=900, offered=None, ran=Ran(), idle_s=0, now=1050))
    reporter.wait(0.1)
    assert "did not take the report within 0 s" in caplog.text


def test_a_newer_report_takes_the_place_of_one_on_its_way(make_spec: Make) -> None:
    spec = make_spec(hub="https://127.0.0.1:9")
    reporter = Reporter(spec)
    senders = []
    for now in (1050, 1060):
        reporter.send(report(spec, started=900, offered=None, ran=Ran(), idle_s=0, now=now))
        senders.append(reporter._process)
    reporter.stop()
    assert [Path(f"/proc/{sender}").exists() for sender in senders] == [False, False]

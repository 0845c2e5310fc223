from __future__ import annotations

from pathlib import Path

from fallow_pilots.node.history import Run, parse, read

FINISHED = """\
ExitCode = 0
CpusProvisioned = 4
RemoteWallClockTime = 12.0
Cmd = "/bin/true"
*** Offset = 0 ClusterId = 1 ProcId = 0 Owner = "alice" CompletionDate = 1 CurrentTime = 1
"""
EVICTED = """\
ExitCode = 143
CpusProvisioned = 1
JobDuration = 2.9
RemoteWallClockTime = 4
LastVacateTime = 1795250407
VacateReasonCode = 1013
*** Offset = 9 ClusterId = 2
"""


def test_a_finished_job_counts_with_its_cores() -> None:
    assert parse(FINISHED) == [Run(wall_s=12.0, cores=4, finished=True)]


def test_an_evicted_job_used_the_cores_but_did_not_finish() -> None:
    assert parse(EVICTED) == [Run(wall_s=4.0, cores=1, finished=False)]


def test_an_eviction_elsewhere_before_does_not_count() -> None:
    moved = EVICTED.replace("VacateReasonCode = 1013\n", "")
    assert parse(moved)[0].finished


def test_an_entry_that_is_still_written_does_not_count() -> None:
    assert len(parse(FINISHED + "ExitCode = 0\n")) == 1


def test_without_a_history_nothing_ran(tmp_path: Path) -> None:
    assert read(tmp_path / "history") == []

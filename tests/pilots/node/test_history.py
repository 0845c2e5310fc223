from __future__ import annotations

from pathlib import Path

import pytest

from fallow.reports import MAX_RUNS, RunEnd
from fallow_pilots.node.history import History, Ran, parse

FINISHED = """\
ClusterId = 67
ProcId = 3
GlobalJobId = "queue@hub#67.3#1795259642"
ExitCode = 0
ExitBySignal = false
StarterExitStatus = 0
CpusProvisioned = 4
RemoteWallClockTime = 12.0
JobCurrentStartDate = 1795259643
CompletionDate = 1795259655
Cmd = "/bin/true"
*** Offset = 0 ClusterId = 67 ProcId = 3 Owner = "alder.alice" CompletionDate = 1795259655 CurrentTime = 1795259655
"""
FAILED = FINISHED.replace("ExitCode = 0", "ExitCode = 7")
EVICTED = FINISHED.replace("ExitCode = 0", "ExitCode = 143\nVacateReasonCode = 1013")
HELD = FINISHED.replace("ExitCode = 0", "ExitCode = 143\nVacateReasonCode = 34")
NOT_STARTED = FINISHED.replace("ExitCode = 0\n", "").replace(
    "StarterExitStatus = 0", "StarterExitStatus = 1024"
)
SIGNALLED = FINISHED.replace("ExitCode = 0", "ExitSignal = 9")


def test_a_finished_job_is_told_whole() -> None:
    (run,) = parse(FINISHED)
    assert (run.job, run.global_job_id) == ("67.3", "queue@hub#67.3#1795259642")
    assert (run.started, run.ended, run.wall_s, run.cores) == (1795259643, 1795259655, 12.0, 4)
    assert run.finished


@pytest.mark.parametrize(
    ("text", "end", "code"),
    [
        (FINISHED, RunEnd.DONE, 0),
        (FAILED, RunEnd.FAILED, 7),
        (SIGNALLED, RunEnd.FAILED, None),
        (EVICTED, RunEnd.EVICTED, None),
        (HELD, RunEnd.STOPPED, None),
        (NOT_STARTED, RunEnd.NOT_STARTED, None),
    ],
)
def test_the_end_of_a_run_is_told_apart(text: str, end: RunEnd, code: int | None) -> None:
    (run,) = parse(text)
    assert (run.end, run.exit_code) == (end, code)


def test_a_job_can_write_no_line_of_the_history() -> None:
    forged = FINISHED.replace('Cmd = "/bin/true"', 'Cmd = "x\\nExitCode = 1"')
    assert parse(forged)[0].exit_code == 0


def test_without_a_history_nothing_ran(tmp_path: Path) -> None:
    assert History(tmp_path / "history").look() == Ran()


def test_an_entry_counts_once_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "history"
    history = History(file)
    file.write_text(FINISHED + FAILED[:100])
    assert history.look().count == 1
    file.write_text(FINISHED + FAILED)
    assert [run.exit_code for run in history.look().newest] == [0, 7]
    assert history.look().count == 2


def test_a_history_that_begins_anew_is_followed(tmp_path: Path) -> None:
    file = tmp_path / "history"
    history = History(file)
    file.write_text(FINISHED * 2)
    assert history.look().count == 2
    file.write_text(FAILED)
    assert history.look().count == 3


def test_a_long_life_is_summed_up(tmp_path: Path) -> None:
    file = tmp_path / "history"
    file.write_text(FAILED + FINISHED * MAX_RUNS + EVICTED)
    ran = History(file).look()
    assert (len(ran.newest), ran.count, ran.finished) == (MAX_RUNS, MAX_RUNS + 2, MAX_RUNS + 1)
    assert ran.core_s == 48.0 * ran.count

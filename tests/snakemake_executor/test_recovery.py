import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from fallow.queue import JobRecord, JobState
from snakemake_executor_plugin_fallow import runs
from snakemake_executor_plugin_fallow.recovery import recover, working_directory

from .conftest import a_record

KILLED = """
import os, signal, sys
from pathlib import Path
from snakemake_executor_plugin_fallow import runs
run = runs.claim(Path(sys.argv[1]))
run.note_locks(sys.argv[2:])
print(run.id, flush=True)
if sys.stdin.readline():
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Starts another process with a run; it kills itself when it is sent a line."""

    def start(*locks: Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", KILLED, str(tmp_path / ".snakemake/fallow"), *map(str, locks)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    return start


@pytest.fixture
def killed(process: Callable[..., "subprocess.Popen[str]"]) -> Callable[..., str]:
    """The id of a run whose process was killed."""

    def kill(*locks: Path) -> str:
        other = process(*locks)
        assert other.stdout is not None
        run = other.stdout.readline().strip()
        other.communicate("now\n")
        assert other.returncode == -signal.SIGKILL
        return run

    return kill


@pytest.fixture
def snakemake(tmp_path: Path) -> Path:
    for name in ("incomplete", "locks", "fallow"):
        (tmp_path / ".snakemake" / name).mkdir(parents=True)
    return tmp_path / ".snakemake"


def test_a_killed_run_is_taken_up_and_an_ended_one_is_not(
    snakemake: Path, killed: Callable[..., str]
) -> None:
    run = killed()
    taken = runs.claim(snakemake / "fallow")
    assert (taken.id, taken.resumed) == (run, True)
    taken.close()
    fresh = runs.claim(snakemake / "fallow")
    assert fresh.id != run
    assert not fresh.resumed
    fresh.close()


def test_a_run_whose_process_lives_is_left_alone(
    snakemake: Path, process: Callable[..., "subprocess.Popen[str]"]
) -> None:
    other = process()
    assert other.stdout is not None
    run = other.stdout.readline().strip()
    mine = runs.claim(snakemake / "fallow")
    assert mine.id != run
    assert runs.killed(snakemake / "fallow") == []
    mine.close()
    other.communicate()


def test_only_the_locks_of_the_killed_process_are_removed(
    snakemake: Path, killed: Callable[..., str]
) -> None:
    held, replaced = snakemake / "locks/0.input.lock", snakemake / "locks/0.output.lock"
    held.write_text("a")
    replaced.write_text("b")
    run = killed(held, replaced)
    os.utime(replaced, ns=(1, 1))
    assert runs.remove_locks(snakemake / "fallow", run) == [held]
    assert replaced.exists()


def test_marks_go_where_the_job_ended_well_or_is_still_there(
    snakemake: Path, killed: Callable[..., str], tmp_path: Path
) -> None:
    killed()
    known = {
        "1.0": a_record(state=JobState.FINISHED, exit_code=0),
        "1.1": a_record(state=JobState.RUNNING),
        "1.2": a_record(state=JobState.FINISHED, exit_code=1),
    }
    for job in (*known, "1.3"):
        (snakemake / "incomplete" / job).write_text(json.dumps({"external_jobid": job}))
    (snakemake / "incomplete" / "local").write_text(json.dumps({"external_jobid": None}))
    asked: list[Sequence[str]] = []

    def lookup(run: str, ids: Sequence[str]) -> Mapping[str, JobRecord]:
        asked.append(ids)
        return known

    recover(lookup, tmp_path)
    assert asked == [["1.0", "1.1", "1.2", "1.3"]]
    assert sorted(path.name for path in (snakemake / "incomplete").iterdir()) == ["1.2", "1.3", "local"]


def test_nothing_is_asked_where_no_run_was_killed(snakemake: Path, tmp_path: Path) -> None:
    recover(lambda run, ids: pytest.fail("asked"), tmp_path)


@pytest.mark.parametrize(
    "arguments", [["--directory", "/w"], ["-d", "/w", "all"], ["--cores", "1", "--directory=/w"]]
)
def test_the_working_directory_is_where_snakemake_will_go(arguments: list[str]) -> None:
    assert working_directory(arguments) == Path("/w")
    assert working_directory(["all"]) == Path.cwd()

"""A single machine without a batch system, with real processes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fallow_pilots.batch.fork import Fork, parse_stat
from fallow_pilots.batch.model import BatchError, BatchJob, Phase, Stop

PILOT = """#!/bin/sh
trap 'echo drain; exit 0' USR1
trap 'echo evict; exit 0' TERM
echo ready
while :; do sleep 0.05; done
"""


@pytest.fixture
def batch() -> Fork:
    # the centre's name holds this process's id, so that tests side by side do not see each other's pilots
    return Fork(f"fallow-t{os.getpid()}-")


@pytest.fixture
def job(tmp_path: Path, batch: Fork) -> Iterator[BatchJob]:
    folder = tmp_path / f"t{os.getpid()}-1"
    folder.mkdir()
    command = tmp_path / "node"
    command.write_text(PILOT)
    command.chmod(0o755)
    made = BatchJob(
        name=f"fallow-{folder.name}",
        node_command=command,
        spec=folder / "spec.json",
        script=folder / "pilot.sh",
        log=folder / "pilot.log",
        cores=1,
        memory_mb=100,
        gpus=0,
        walltime_s=60,
        drain_grace_s=5,
    )
    made.script.write_text(batch.script(made))
    yield made
    batch.stop([status.native_id for status in batch.status([])], Stop.KILL)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


@pytest.mark.parametrize(("how", "said"), [(Stop.DRAIN, "drain"), (Stop.EVICT, "evict"), (Stop.KILL, "")])
def test_a_pilot_is_started_seen_and_stopped(batch: Fork, job: BatchJob, how: Stop, said: str) -> None:
    native_id = batch.submit(job)
    until(lambda: "ready" in job.log.read_text())
    assert [(status.name, status.native_id, status.phase) for status in batch.status([])] == [
        (job.name, native_id, Phase.RUNNING)
    ]
    batch.stop([native_id], how)
    until(lambda: not batch.status([]))
    assert job.log.read_text().split() == ["ready", *said.split()]


def test_an_id_of_another_process_is_never_signalled(batch: Fork, job: BatchJob) -> None:
    native_id = batch.submit(job)
    pid, ticks = native_id.split("-")
    batch.stop([f"{pid}-{int(ticks) + 1}", f"{os.getpid()}-1"], Stop.KILL)
    assert [status.native_id for status in batch.status([])] == [native_id]


def test_a_pilot_outlives_its_launcher_and_is_found_by_the_next(batch: Fork, job: BatchJob) -> None:
    module = "fallow_pilots.batch.fork"
    program = f"import os, pickle, sys; from {module} import Fork; job = pickle.load(sys.stdin.buffer); "
    program += "Fork(sys.argv[1]).submit(job); os.kill(os.getpid(), 9)"
    prefix = f"fallow-t{os.getpid()}-"
    launcher = subprocess.run(
        [sys.executable, "-c", program, prefix], input=pickle.dumps(job), check=False, start_new_session=True
    )
    assert launcher.returncode == -9
    assert [status.name for status in Fork(prefix).status([])] == [job.name]


def test_somebody_who_looks_at_a_pilots_files_is_no_pilot(batch: Fork, job: BatchJob) -> None:
    job.spec.write_text("{}")
    argv = ["setsid", "tail", "-f", str(job.spec), str(job.script)]
    reader = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        comm = Path(f"/proc/{reader.pid}/comm")
        until(lambda: comm.read_text().strip() == "tail")
        assert batch.status([]) == []
    finally:
        reader.kill()
        reader.wait()


def test_a_machine_with_a_pilot_is_not_idle(batch: Fork, job: BatchJob) -> None:
    assert batch.spare(count_waiting=False, partitions=()).nodes[0].idle
    batch.submit(job)
    assert not batch.spare(count_waiting=False, partitions=()).nodes[0].idle


def test_no_local_job_waits_where_there_is_no_queue(batch: Fork) -> None:
    assert batch.spare(count_waiting=True, partitions=()).waiting == 0


def test_a_pilot_that_ends_at_once_is_a_failed_submission(
    batch: Fork, job: BatchJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fallow_pilots.batch.fork.APPEAR_S", 0.3)
    ended = ["setsid", "--fork", "--wait", "/bin/sh", str(job.script)]  # before anybody looks
    monkeypatch.setattr(batch, "submit_argv", lambda job: ended)
    job.node_command.write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(BatchError, match=f"The process of pilot {job.name} did not appear"):
        batch.submit(job)


def test_a_process_may_have_any_name() -> None:
    fields = " ".join(str(index) for index in range(4, 53))
    assert parse_stat(f"7 (a) S (b c) R {fields}") == ("R", 6, 22)

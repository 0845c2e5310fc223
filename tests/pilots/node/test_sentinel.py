"""The step that takes Slurm's signals in the pilot's place."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from fallow_pilots.node import sentinel


@pytest.mark.parametrize(
    ("environment", "needed"),
    [
        ({}, False),
        ({"SLURM_JOB_ID": "7"}, True),
        ({"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}, False),
    ],
)
def test_only_a_pilot_in_the_batch_script_needs_one(environment: dict[str, str], needed: bool) -> None:
    assert sentinel.needed(environment) is needed


def catches(process: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{process}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_what_the_step_is_told_reaches_the_pilot_and_the_step_lives_on(number: signal.Signals) -> None:
    received: list[int] = []
    before = signal.signal(number, lambda received_number, _: received.append(received_number))
    step = subprocess.Popen(["/bin/sh", "-c", sentinel.SCRIPT, str(os.getpid())], start_new_session=True)
    try:
        while not catches(step.pid, number):
            assert step.poll() is None
        for sent in (1, 2):
            os.killpg(step.pid, number)
            while len(received) < sent:
                assert step.poll() is None
        assert received == [number, number]
    finally:
        signal.signal(number, before)
        os.killpg(step.pid, signal.SIGKILL)
        step.wait()


def test_the_step_ends_with_the_pilot() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert subprocess.run(["/bin/sh", "-c", sentinel.SCRIPT, str(gone.pid)], check=False).returncode == 0


def test_without_srun_the_pilot_runs_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv("SLURM_STEP_ID", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert sentinel.start() is None
    assert "srun cannot be started" in caplog.text

"""How programs of the batch system are run."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from fallow_pilots.batch.command import run
from fallow_pilots.batch.model import BatchError


def test_a_program_that_may_not_be_killed_is_waited_for_no_longer_than_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left: list[subprocess.Popen[bytes]] = []

    def refuse(process: subprocess.Popen[bytes]) -> None:
        left.append(process)
        raise PermissionError("it is root's, like sudo")

    monkeypatch.setattr(subprocess.Popen, "kill", refuse)
    with pytest.raises(BatchError, match="sleep did not answer in 0 s"):
        run(["sleep", "600"], timeout_s=0.1)
    (process,) = left
    assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL

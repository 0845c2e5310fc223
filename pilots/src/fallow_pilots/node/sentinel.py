"""Takes Slurm's warnings in the pilot's place.

Slurm warns a job (a preemption's grace time, `--signal`, `scancel --signal`) by signalling *every* process of its steps:
that would kill payloads before HTCondor has given them back to the queue, and a job killed that way counts as failed. The
processes of the batch script are spared (scancel(1), `--full`). So the pilot runs in the batch script, and a step of its
own, a shell that does nothing, passes on to the pilot alone what Slurm says.
"""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Mapping

log = logging.getLogger(__name__)

SCRIPT = """
for signal in TERM USR1; do trap "kill -$signal $0" "$signal"; done
while kill -0 "$0" 2>/dev/null; do sleep 5 & wait "$!"; done
"""


def argv(pilot: int) -> list[str]:
    """The step that passes signals on to the process `pilot` of the same node."""
    return [
        "srun", "--overlap", "--nodes=1", "--ntasks=1", "--cpus-per-task=1", "--mem=0", "--cpu-bind=none", "--mpi=none",
        "--export=ALL", "--quiet", "--input=none", "--job-name=fallow-sentinel", "/bin/sh", "-c", SCRIPT, str(pilot),
    ]  # fmt: skip


def needed(environment: Mapping[str, str]) -> bool:
    """Whether this process belongs to the batch script of a Slurm job."""
    return "SLURM_JOB_ID" in environment and environment.get("SLURM_STEP_ID", "") in {"", "4294967291"}


def start() -> subprocess.Popen[bytes] | None:
    """Start the step where it is needed; it ends with this process."""
    if not needed(os.environ):
        return None
    try:
        return subprocess.Popen(
            argv(os.getpid()), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        log.warning("srun cannot be started (%s): this pilot learns of a preemption when it is killed", error)
        return None

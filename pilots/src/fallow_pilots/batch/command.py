"""Runs a command of the batch system with a time-out and an environment that holds nothing of ours."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Sequence

from fallow_pilots.batch.model import BatchError

log = logging.getLogger(__name__)

TIMEOUT_S = 60.0
KEPT = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LD_LIBRARY_PATH",
    "SLURM_CONF",
    "PBS_CONF_FILE",
    "PBS_SERVER",
    "CONDOR_CONFIG",
)
"""Variables that the commands need; tokens and `SBATCH_*` settings of the caller's shell are not."""


def clean_environment() -> dict[str, str]:
    """The environment for commands: times in UTC, messages in English."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, "TZ": "UTC", "LC_ALL": "C"}


def run(argv: Sequence[str], *, timeout_s: float = TIMEOUT_S, errors_too: bool = False) -> str:
    """Run `argv` and return its standard output; with `errors_too` its standard error after it.

    Raises:
        BatchError: The program is missing, failed, or did not end in `timeout_s` seconds.
    """
    try:
        done = subprocess.run(
            argv,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            cwd="/",
        )
    except subprocess.TimeoutExpired as error:
        raise BatchError(f"{argv[0]} did not answer in {timeout_s:.0f} s.") from error
    except OSError as error:
        raise BatchError(
            f"Cannot run {argv[0]}: {error.strerror}.",
            remedy="Is the batch system's client installed and on PATH?",
        ) from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise BatchError(f"{argv[0]} failed with exit code {done.returncode}: {said[-1][:300]}")
    said_all = done.stdout + done.stderr if errors_too else done.stdout
    return said_all.decode(errors="replace")


def tell(argv: Sequence[str], native_ids: Sequence[str]) -> None:
    """Run `argv` for jobs that may have ended meanwhile: a failure is noted, and the next look shows what came of it."""
    if not native_ids:
        return
    try:
        run([*argv, *native_ids])
    except BatchError as error:
        log.info("perhaps a job has ended meanwhile: %s", error)

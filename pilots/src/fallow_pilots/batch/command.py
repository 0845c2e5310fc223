"""Runs a command of the batch system with a time-out and an environment that holds nothing of ours."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from fallow_pilots.batch.model import BatchError
from fallow_pilots.outcome import printable

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
    done = ended(
        argv,
        timeout_s=timeout_s,
        missing="Is the batch system's client installed and on PATH?",
    )
    if done.returncode != 0:
        raise failed(argv, done.returncode, done.stderr)
    said = done.stdout + done.stderr if errors_too else done.stdout
    return said.decode(errors="replace")


def ended(
    argv: Sequence[str],
    *,
    timeout_s: float,
    missing: str,
    given: bytes | None = None,
    out: int | IO[bytes] = subprocess.PIPE,
    complaints: int | IO[bytes] = subprocess.PIPE,
) -> subprocess.CompletedProcess[bytes]:
    """Run `argv` to its end, however that is.

    Args:
        argv: The program and its arguments.
        timeout_s: When it is killed; one that cannot be killed, as it runs under another account, is waited for no longer.
        missing: What to do where there is no such program.
        given: What it reads; none: nothing.
        out: Where it writes.
        complaints: Where it complains.

    Raises:
        BatchError: The program is missing, or did not end in `timeout_s` seconds.
    """
    source = subprocess.DEVNULL if given is None else subprocess.PIPE
    try:
        process = subprocess.Popen(
            argv, env=clean_environment(), cwd="/", stdin=source, stdout=out, stderr=complaints
        )
    except OSError as error:
        raise BatchError(f"Cannot run {argv[0]}: {error.strerror}.", remedy=missing) from error
    try:
        said, complained = process.communicate(given, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        _leave(process)
        raise BatchError(f"{argv[0]} did not answer in {timeout_s:.0f} s.") from error
    return subprocess.CompletedProcess(argv, process.returncode, said, complained)


def _leave(process: subprocess.Popen[bytes]) -> None:
    """Kill a process without waiting for its end: `sudo` is root's, and goes on for as long as what it runs."""
    with suppress(OSError):
        process.kill()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    threading.Thread(target=process.wait, daemon=True).start()


def failed(argv: Sequence[str], code: int, complaints: bytes) -> BatchError:
    """What is told of a program that failed: the last line of its complaints, as a screen may show it."""
    said = printable(complaints.decode(errors="replace")).strip().splitlines() or ["no message"]
    return BatchError(f"{argv[0]} failed with exit code {code}: {said[-1][:300]}")


def tell(argv: Sequence[str], native_ids: Sequence[str]) -> None:
    """Run `argv` for jobs that may have ended meanwhile: a failure is noted, and the next look shows what came of it."""
    if not native_ids:
        return
    try:
        run([*argv, *native_ids])
    except BatchError as error:
        log.info("perhaps a job has ended meanwhile: %s", error)

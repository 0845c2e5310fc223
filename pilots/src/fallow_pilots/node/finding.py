"""What one check of the node finds, and running a program of the node for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Union

from fallow.errors import NotAvailableError

COMMAND_S = 30.0
DEVICES = ("CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES")
"""Variables in which a batch system names the GPUs of a job; HTCondor must see them, or it takes all of the node."""

Value = Union[bool, int, float, str]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Args:
        check: The check's name.
        good: Whether all is well.
        words: One sentence: what was found and, where it is not well, what to do.
        fatal: Whether the pilot must not take payloads.
        capabilities: Attributes to advertise.
    """

    check: str
    good: bool
    words: str
    fatal: bool = False
    capabilities: Mapping[str, Value] = field(default_factory=dict)


def fatal(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that forbid taking payloads."""
    return [finding for finding in findings if finding.fatal and not finding.good]


def version(text: str) -> tuple[int, ...] | None:
    """The first dotted version number in a program's output."""
    found = re.search(r"\b(\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else None


def devices() -> dict[str, str]:
    """The batch system's choice of GPUs, as environment."""
    return {name: os.environ[name] for name in DEVICES if name in os.environ}


def run(
    argv: Sequence[str], timeout_s: float = COMMAND_S, directory: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of the node with an environment of its own.

    Raises:
        NotAvailableError: It cannot be started or does not end.
    """
    try:
        return subprocess.run(
            list(argv),
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            cwd=directory,
            env={
                "PATH": os.defpath + ":/usr/sbin:/sbin",
                "HOME": "/nonexistent",
                "LC_ALL": "C",
                **devices(),
            },
        )
    except subprocess.TimeoutExpired as error:
        raise NotAvailableError(f"{argv[0]} did not end within {timeout_s:.0f} s.") from error
    except OSError as error:
        raise NotAvailableError(f"{argv[0]} cannot be started: {error.strerror}.") from error


def find_program(name: str) -> Path:
    """A program on PATH or in the system's directories.

    Raises:
        NotAvailableError: There is none.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise NotAvailableError(
            f"The node has no {name}.", remedy="Install it, or put it on the pilots' PATH."
        )
    return Path(found)

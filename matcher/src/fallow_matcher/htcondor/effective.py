"""HTCondor's own view of its configuration: what is in effect, wherever it was set."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from pathlib import Path

from fallow.errors import NotAvailableError

_SETTING = re.compile(r"(?P<name>[A-Za-z0-9_.]+) (?:=(?P<value>.*)|@=(?P<end>\w+))")
_VERSION = re.compile(r"\$CondorVersion: (\d+)\.(\d+)\.(\d+)")


def dump_argv() -> list[str]:
    """The command that prints every setting with its macros expanded."""
    return ["condor_config_val", "-dump", "-expanded"]


def parse(text: str) -> dict[str, str]:
    """Settings by upper-case name, from what `dump_argv` prints."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        match = _SETTING.fullmatch(line)
        if match is None:
            continue
        if match["end"] is None:
            found[match["name"].upper()] = match["value"].strip()
            continue
        body = []
        for inner in lines:
            if inner.strip() == f"@{match['end']}":
                break
            body.append(inner.strip())
        found[match["name"].upper()] = "\n".join(body)
    return found


def read(config: Path) -> dict[str, str]:
    """The settings in effect for the configuration file `config`.

    Raises:
        NotAvailableError: HTCondor's programs are missing or refuse the file.
    """
    return parse(_run(dump_argv(), config))


def version(config: Path) -> tuple[int, ...]:
    """HTCondor's version, e.g. `(25, 14, 1)`.

    Raises:
        NotAvailableError: HTCondor's programs are missing or say nothing that can be read.
    """
    match = _VERSION.search(_run(["condor_version"], config))
    if match is None:
        raise NotAvailableError(
            "condor_version does not say which version it is.", remedy="Install HTCondor."
        )
    return tuple(int(part) for part in match.groups())


def reconfigure(config: Path, account: str, subsystem: str | None = None) -> None:
    """Have the hub's running daemons read their configuration again; the pilots' are none of its business.

    Args:
        config: The hub's `condor_config`.
        account: The account that the daemons run as: only it may command them, root may not.
        subsystem: The one daemon that is meant, e.g. `negotiator`; left out, all.

    Raises:
        NotAvailableError: The daemons do not run or do not take the command.
    """
    one = ["-subsystem", subsystem] if subsystem else []
    _run(["condor_reconfig", *one], config, account if os.geteuid() == 0 else None)


def restart_collector(config: Path, account: str) -> None:
    """Have the hub's master restart the collector, which ends every session and connection that pilots hold.

    Jobs run on, queue and claims stay; slots are seen again with their next update.

    Args:
        config: The hub's `condor_config`.
        account: The account that the daemons run as.

    Raises:
        NotAvailableError: The master does not run or does not take the command.
    """
    _run(["condor_restart", "-subsystem", "collector"], config, account if os.geteuid() == 0 else None)


def add_user(config: Path, account: str, schedd: str, identity: str) -> None:
    """Make a record of a user at the schedd, if there is none yet.

    Raises:
        NotAvailableError: The schedd does not run or does not take the command.
    """
    one = ["condor_qusers", "-name", schedd, "-add", identity]
    _run(one, config, account if os.geteuid() == 0 else None)


def _run(argv: list[str], config: Path, account: str | None = None) -> str:
    environment = {
        name: value for name, value in os.environ.items() if not name.upper().startswith("_CONDOR_")
    }
    environment["CONDOR_CONFIG"] = str(config)
    group = pwd.getpwnam(account).pw_gid if account else None
    try:
        done = subprocess.run(
            argv,
            env=environment,
            user=account,
            group=group,
            extra_groups=[] if account else None,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except FileNotFoundError as error:
        raise NotAvailableError(
            f"{argv[0]} is not on PATH.", remedy="Install HTCondor 25.13.2 or later."
        ) from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines()
        raise NotAvailableError(
            f"{' '.join(argv)} failed: {said[-1] if said else error.returncode}.",
            remedy=f"Run it as the hub's account with CONDOR_CONFIG={config}.",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise NotAvailableError(
            f"{argv[0]} did not end within {error.timeout:.0f} s.", retryable=True
        ) from error
    return done.stdout

"""Text that lets a machine run the launcher by itself."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from fallow.systemd import quoted

UNIT = """\
[Unit]
Description=Fallow launcher: gives this centre's spare capacity to the federation
Documentation=man:fallow(1)
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
ExecStart={command} --verbose pilot run --policy {policy}
Restart=on-failure
RestartSec=30
# With batch.system = "fork" pilots are processes of this unit: they outlive a restart of the launcher.
KillMode=process
UMask=0077
{hardening}
[Install]
WantedBy=default.target
"""


def _command() -> Path:
    return Path(sys.executable).parent / "fallow"


def systemd_unit(policy: Path, *, becomes_people: bool = False) -> str:
    """A unit for `systemctl --user`, or for the system with a `User=` line.

    Args:
        policy: The policy's file.
        becomes_people: Whether the launcher runs a command such as sudo, which needs more rights than its own.
    """
    hardening = "" if becomes_people else "NoNewPrivileges=yes\n"
    return UNIT.format(
        command=quoted(str(_command())), policy=quoted(str(policy.absolute())), hardening=hardening
    )


def cron_line(policy: Path) -> str:
    """A line for crontab: a cycle every five minutes."""
    argv = [
        str(_command()),
        "pilot",
        "run",
        "--once",
        "--interval-s",
        "300",
        "--policy",
        str(policy.absolute()),
    ]
    return f"*/5 * * * * {shlex.join(argv).replace('%', chr(92) + '%')}\n"

"""Text that lets a machine run the launcher by itself."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

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
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


def _command() -> Path:
    return Path(sys.executable).parent / "fallow"


def systemd_unit(policy: Path) -> str:
    """A unit for `systemctl --user`, or for the system with a `User=` line."""
    return UNIT.format(command=_quoted(_command()), policy=_quoted(policy.absolute()))


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


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

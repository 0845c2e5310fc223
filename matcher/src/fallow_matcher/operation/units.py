"""systemd units of the hub: one service for each part, and the target that they belong to."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from fallow.errors import NotAvailableError
from fallow.systemd import quoted
from fallow_matcher.htcondor.configure import write
from fallow_matcher.operation.parts import Part
from fallow_matcher.settings import HubSettings

FOLDER = Path("/etc/systemd/system")
RUNNING = Path("/run/systemd/system")
"""There where systemd runs the machine."""
TARGET = "fallow-hub.target"

_TARGET = """\
# Written by `fallow hub init`.
[Unit]
Description=The hub of a Fallow federation
Wants={services}

[Install]
WantedBy=multi-user.target
"""

_SERVICE = """\
# Written by `fallow hub init` from hub.toml; `systemctl edit` is for what should differ.
[Unit]
Description=Fallow hub: {does}
After=network-online.target time-sync.target
Wants=network-online.target
PartOf={target}

[Service]
Type=exec
User={account}
Environment={environment}
ExecStart={command}
ExecReload={reload}
Restart=always
RestartSec=2
TimeoutStopSec=120
LimitNOFILE=65536
NoNewPrivileges=yes
{capabilities}ProtectSystem=strict
ReadWritePaths={state_dir}
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes

[Install]
WantedBy={target}
"""


def service(part: str) -> str:
    """The name of a part's unit."""
    return f"fallow-hub-{part}.service"


def render(parts: Sequence[Part], settings: HubSettings) -> dict[str, str]:
    """The text of each unit by its file's name."""
    low = min(settings.ports.gateway, settings.ports.collector, settings.ports.queue) < 1024
    units = {TARGET: _TARGET.format(services=" ".join(service(part.name) for part in parts))}
    for part in parts:
        assignments = {**part.environment, "HOME": str(settings.state_dir)}
        units[service(part.name)] = _SERVICE.format(
            does=part.does,
            target=TARGET,
            account=settings.account,
            environment=" ".join(quoted(f"{name}={value}") for name, value in assignments.items()),
            command=" ".join(quoted(word) for word in part.argv),
            reload="/bin/kill -HUP $MAINPID" if part.reloads else "",
            capabilities="AmbientCapabilities=CAP_NET_BIND_SERVICE\n" if low else "",
            state_dir=quoted(str(settings.state_dir)),
        ).replace("ExecReload=\n", "")
    return units


def write_units(parts: Sequence[Part], settings: HubSettings, folder: Path) -> list[Path]:
    """Write the units into `folder`; their paths.

    Raises:
        NotAvailableError: This user may not write there.
    """
    written = []
    for name, text in render(parts, settings).items():
        write(folder / name, text, 0o644, None)
        written.append(folder / name)
    return written


def systemctl(*words: str) -> None:
    """Run `systemctl` and wait for its end.

    Raises:
        NotAvailableError: It failed, or is not there; the message holds what it said.
    """
    try:
        done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False, timeout=300)
    except FileNotFoundError as error:
        raise NotAvailableError(
            "There is no systemd on this machine.", remedy="Run: fallow hub up --foreground"
        ) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NotAvailableError(
            f"systemctl {' '.join(words)} failed: {said[-1] if said else done.returncode}.",
            remedy="Look with: systemctl status 'fallow-hub*'",
        )

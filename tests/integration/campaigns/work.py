"""Campaigns as their owner has them, at the desk; each function is called there."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from fallow.campaigns.client import CampaignClient
from fallow.campaigns.document import read
from fallow.campaigns.messages import RowInfo, RowState, Selection, Status
from fallow.campaigns.plan import prepare
from fallow.client import client_settings, connect
from fallow.errors import FallowError
from fallow.storage.transfer import get_object
from fallow_testbed.wait import wait_until

COMMAND = [sys.executable, "-c", "from fallow.cli import main; main()", "campaign"]


def inject(path: Path) -> tuple[int, int]:
    """Inject a document; how many rows were added and known."""
    added, _ = CampaignClient(connect()).inject(prepare(read(path), path.parent, str))
    return added.added, added.known


def status(name: str) -> Status:
    """How far a campaign is."""
    return CampaignClient(connect()).status(name)


def states(name: str) -> dict[str, int]:
    """Rows of a campaign by state."""
    found: dict[str, int] = {}
    for count in status(name).counts:
        found[count.state.value] = found.get(count.state.value, 0) + count.rows
    return found


def rows(name: str, selection: Selection | None = None) -> list[RowInfo]:
    """Rows of a campaign."""
    return list(CampaignClient(connect()).rows(name, selection or Selection()))


def act(name: str, what: str, *arguments: Any) -> int:
    """Pause, resume, change, cancel or retry."""
    return int(getattr(CampaignClient(connect()), what)(name, *arguments))


def said(*argv: str) -> str:
    """What `fallow campaign …` prints; an error is an error."""
    return subprocess.run([*COMMAND, *argv], check=True, capture_output=True, text=True).stdout


def watch(name: str, screen: Path) -> None:
    """Watch a campaign on a terminal until it is over, beside what else is done; all that is drawn goes to a file."""
    line = shlex.join([*COMMAND, "status", name, "--watch"])
    subprocess.Popen(
        ["timeout", "3600", "script", "--quiet", "--flush", "--command", line, str(screen)],
        env={**os.environ, "COLUMNS": "120", "LINES": "40", "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def outputs(name: str) -> dict[str, str]:
    """What the outputs of the rows hold, by row."""
    settings = client_settings()
    access = connect(settings).storage()
    found = {}
    for row in rows(name, Selection(state=RowState.DONE)):
        for file in row.outputs:
            key = access.prefix + file.url.removeprefix("s3:///")
            content = get_object(access, key, ca_file=settings.ca_file)
            found[row.id] = "" if content is None else content.decode()
    return found


def killed_halfway(path: Path, name: str, rows_there: int) -> int:
    """Inject in a process that is killed once the hub has so many rows; how many it had then."""
    process = subprocess.Popen([*COMMAND, "inject", str(path)], stdout=subprocess.DEVNULL)

    def there() -> bool:
        try:
            return sum(states(name).values()) >= rows_there
        except FallowError:
            return False  # it is not there yet

    wait_until(there, f"{rows_there} rows of {name}", 120, pause_s=0.1)
    process.kill()
    process.wait()
    return sum(states(name).values())


def by_two(path: Path) -> list[tuple[int, str]]:
    """Inject in two processes at once; exit code and words of each."""
    both = [
        subprocess.Popen([*COMMAND, "inject", str(path)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    words = [process.communicate()[0] for process in both]
    return [(process.returncode, text) for process, text in zip(both, words, strict=True)]

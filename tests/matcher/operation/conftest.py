"""A hub with records on disk, and its settings as a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.matcher.conftest import on_disk, raw_settings

from fallow_matcher.database import open_database, writing
from fallow_matcher.settings import HubSettings, read

JOB = b'105 \n101 7.0 Job Machine\n103 7.0 Owner "north.ann"\n106 \n'
QUEUE = b"107 1 CreationTimestamp 1763000000\n103 0.0 NextClusterNum 8\n" + JOB
INPUT = Path("spool/7/0/cluster7.proc0.subproc0/input")


@dataclass
class DiskHub:
    """A hub's machine: everything of it lies below `root`."""

    root: Path
    settings: HubSettings

    @property
    def toml(self) -> Path:
        """The settings file."""
        return self.root / "hub.toml"

    @property
    def condor(self) -> Path:
        """The folder of HTCondor's configuration."""
        return self.root / "condor"

    def fill(self) -> None:
        """Give it a queue with a job, a balance and a certificate."""
        on_disk(self.root, self.settings)
        self.settings.tls_cert.write_text("a certificate\n")
        (self.settings.state_dir / "spool" / "job_queue.log").write_bytes(QUEUE + JOB[:-5])
        spooled = self.settings.state_dir / INPUT
        spooled.parent.mkdir(parents=True)
        spooled.write_text("numbers\n")
        engine = open_database(self.settings.database_url)
        with writing(engine) as connection:
            connection.execute(text("INSERT INTO standing VALUES ('north', 'cpu', 1.5, 0)"))
        engine.dispose()


def toml(values: dict[str, Any]) -> str:
    """Settings as TOML: plain values first, then tables."""
    plain = [f"{name} = {json.dumps(value, default=str)}" for name, value in values.items()
             if not isinstance(value, dict) and not _is_tables(value)]  # fmt: skip
    tables = [
        f"[[{name}]]\n{toml(each)}" for name, value in values.items() if _is_tables(value) for each in value
    ]
    tables += [f"[{name}]\n{toml(value)}" for name, value in values.items() if isinstance(value, dict)]
    return "\n".join([*plain, *tables]) + "\n"


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., DiskHub]:
    """`machine(**changes)`: a machine with the settings of a hub, and nothing else of it yet."""
    tmp_path.mkdir(exist_ok=True)

    def make(**changes: Any) -> DiskHub:
        (tmp_path / "hub.toml").write_text(toml(raw_settings(tmp_path, **changes)))
        return DiskHub(tmp_path, read(tmp_path / "hub.toml"))

    return make

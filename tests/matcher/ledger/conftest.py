"""Records as HTCondor 25.14 writes them, for as many runs as a test wants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from fallow.rules import Rules, default_text, parse_rules
from fallow_matcher.database import reading
from fallow_matcher.ledger import Ingested, Standing, ingest, standings
from fallow_matcher.ledger.tables import RUN

NOW = 1_795_000_000.0


def job_ad(cluster: int = 1, run: int = 1, **changes: Any) -> dict[str, Any]:
    """The ad of a job of `north` that runs at `south`, as the queue shows it."""
    start = changes.pop("start", NOW - 1000)
    return {
        "ClusterId": cluster,
        "ProcId": 0,
        "GlobalJobId": f"queue@hub#{cluster}.0#1794990000",
        "NumJobMatches": run,
        "NumShadowStarts": run,
        "FallowUserCentre": "north",
        "AcctGroupUser": "alice",
        "FallowWorkType": "analysis",
        "FallowWalltime": 600,
        "MachineAttrFallowCentre0": "south",
        "MachineAttrFallowPilot0": "south-1",
        "MachineAttrCpus0": 2,
        "QDate": int(start) - 10,
        "JobCurrentStartDate": int(start),
        "JobCurrentStartExecutingDate": int(start) + 1,
        "HoldReasonCode": 16,
        "JobStatus": 2,
        **changes,
    }


def epoch_ad(cluster: int = 1, run: int = 1, *, wall_s: int = 100, **changes: Any) -> dict[str, Any]:
    """What a shadow adds as the run of a job ends; by itself with exit code 0 unless changed."""
    ad = job_ad(cluster, run, **changes)
    return {
        "EpochWriteDate": ad["JobCurrentStartDate"] + wall_s,
        "LastJobLeaseRenewal": ad["JobCurrentStartDate"] + wall_s,
        "ExitBySignal": False,
        "ExitCode": 0,
        "RemoteUserCpu": 90.5,
        "RemoteSysCpu": 1.5,
        **ad,
    }


EVICTED: dict[str, Any] = {
    "VacateReasonCode": 1005,
    "VacateReason": "Unspecified job interruption",
    "ExitCode": 143,
}
DISCONNECTED: dict[str, Any] = {"VacateReasonCode": 1008, "VacateReason": "Job disconnected too long"}
REMOVED: dict[str, Any] = {"VacateReasonCode": 1023, "VacateReason": "Removed by owner", "ExitCode": 143}


def text(ads: Iterable[Mapping[str, Any]], banner: str = "EPOCH") -> str:
    """A piece of a history file."""
    return "".join(
        "".join(f"{name} = {_literal(value)}\n" for name, value in ad.items())
        + f'*** {banner} ClusterId={ad["ClusterId"]} ProcId=0 Owner="north.alice" CurrentTime=1795000000\n'
        for ad in ads
    )


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


@dataclass
class Hub:
    """A ledger, and HTCondor's files that it reads."""

    engine: Engine
    spool: Path
    rules: Rules
    now: float = NOW
    queue: str = ""

    def write(self, *ads: Mapping[str, Any], name: str = "epoch_history", banner: str = "EPOCH") -> None:
        """Add records to a history file."""
        with (self.spool / name).open("a") as stream:
            stream.write(text(ads, banner))

    def look(self, *running: Mapping[str, Any], answers: bool = True) -> Ingested:
        """Take in what there is, while these jobs run."""
        jobs = running if answers else None
        return ingest(self.engine, self.rules, self.spool, jobs, self.now, self.queue)

    def runs(self) -> list[Any]:
        """All runs of the ledger."""
        with reading(self.engine) as connection:
            return list(connection.execute(select(RUN).order_by(RUN.c.global_job_id, RUN.c.run)))

    def standings(
        self, now: float | None = None, rules: Rules | None = None
    ) -> Mapping[tuple[str, str], Standing]:
        """The standings now, or at another time."""
        return standings(self.engine, self.now if now is None else now, rules or self.rules)

    def balance(self, centre: str, **options: Any) -> float:
        """One centre's balance in core-seconds."""
        found = self.standings(**options).get((centre, "cpu"))
        return found.balance if found else 0.0


@pytest.fixture
def rules() -> Callable[..., Rules]:
    """Gives the default rules with changes."""

    def change(**changes: Any) -> Rules:
        return parse_rules(default_text()).model_copy(update=changes)

    return change


@pytest.fixture
def hub(database: Engine, tmp_path: Path, rules: Callable[..., Rules]) -> Hub:
    spool = tmp_path / "spool"
    spool.mkdir()
    return Hub(database, spool, rules(half_life_s=7 * 86_400))

"""A hub's database with campaigns, and a queue whose caller can be killed at any moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from fallow.campaigns.messages import NewRows, Plan, Status
from fallow.queue.spec import JobSpec
from fallow_matcher.campaigns import injection, query
from fallow_matcher.campaigns.conductor import Conductor
from fallow_matcher.database import reading, writing
from fallow_matcher.settings import HubSettings

OWNER = injection.Owner("north", "alice", "https://iam.example.org", "jti-1", ())
STAGE: dict[str, Any] = {
    "name": "main",
    "columns": ["id", "x"],
    "command": ["echo", "{x}"],
    "image": "sha256:" + 64 * "a",
    "cores": 1,
    "memory_mb": 100,
    "disk_mb": 100,
    "gpus": 0,
    "walltime_s": 60,
    "network": True,
}


class KilledError(BaseException):
    """The process is gone."""


def plan(name: str = "mc", stages: Sequence[dict[str, Any]] = ({},), **more: Any) -> Plan:
    """A campaign of stages that differ from a plain one."""
    return Plan(name=name, stages=[{**STAGE, **stage} for stage in stages], **more)


@dataclass
class Pool:
    """Plays HTCondor: jobs as their owner's queue client leaves them there, and what became of them."""

    ads: dict[str, dict[str, Any]] = field(default_factory=dict)
    gone: dict[str, dict[str, Any]] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    refuses: Callable[[JobSpec], bool] = lambda spec: False
    calls: int = 0
    dies_at: int | None = None
    dies_after: bool = False
    clock: float = 1_795_000_000.0
    specs: dict[str, JobSpec] = field(default_factory=dict)
    first: int = 1
    """The first job's number."""

    def _call(self, work: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.calls == self.dies_at and not self.dies_after:
            raise KilledError
        done = work()
        if self.calls == self.dies_at:
            raise KilledError
        return done

    def jobs(self, constraint: str, attributes: Sequence[str] = ()) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call(lambda: [dict(ad) for ad in self.ads.values()])
        return found

    def history(
        self, constraint: str, attributes: Sequence[str] = (), match: int = -1
    ) -> list[dict[str, Any]]:
        return [
            dict(ad) for job, ad in self.gone.items() if f"ClusterId == {job.split('.')[0]} " in constraint
        ]

    def submit(
        self, centre: str, user: str, work_types: tuple[str, ...], specs: Sequence[JobSpec]
    ) -> list[dict[str, Any]]:
        owner = f"{centre}.{user}"
        found: list[dict[str, Any]] = self._call(lambda: [self._submitted(owner, spec) for spec in specs])
        return found

    def _submitted(self, owner: str, spec: JobSpec) -> dict[str, Any]:
        if self.refuses(spec):
            return {"refused": "The queue says no."}
        for job, ad in self.ads.items():
            if (ad["FallowRun"], ad["FallowKey"]) == (spec.run, spec.key):
                return {"job": job}
        job = f"{self.first + len(self.specs)}.0"
        self.specs[job] = spec
        self.ads[job] = {
            "ClusterId": int(job[:-2]), "ProcId": 0, "Owner": owner, "FallowRun": spec.run, "FallowKey": spec.key,
            "JobStatus": 1, "JobPrio": spec.priority,
        }  # fmt: skip
        return {"job": job}

    def act(
        self, centre: str, user: str, work_types: tuple[str, ...], *, take: Any, remove: Any, first: Any
    ) -> None:
        def acted() -> None:
            for job in take:
                assert self.ads[job]["JobStatus"] == 4
                self.gone[job] = self.ads.pop(job)
            for job in remove:
                if job in self.ads:
                    self.gone[job] = {**self.ads.pop(job), "JobStatus": 3, "RemoveReason": "by the campaign"}
            for job in first[0]:
                self.ads[job]["JobPrio"] = first[1]

        self._call(acted)

    def end(self, outcome: Callable[[JobSpec], dict[str, Any]] = lambda spec: {"ExitCode": 0}) -> None:
        """Let every job that waits run to its end."""
        for job, ad in self.ads.items():
            if ad["JobStatus"] == 1:
                self.started.append(self.specs[job].name)
                place = {
                    "MachineAttrFallowCentre0": "south",
                    "MachineAttrFallowPilot0": f"south-{len(self.started)}",
                }
                ad.update({"JobStatus": 4, **place, **outcome(self.specs[job])})


@dataclass
class Hub:
    """A hub's campaigns."""

    database: Engine
    settings: HubSettings
    pool: Pool

    def inject(
        self, wanted: Plan, rows: Sequence[tuple[str, list[str]]], *, seal: bool = True
    ) -> list[tuple[int, int]]:
        """Inject a campaign with the same rows in each stage; what was added and known."""
        with writing(self.database) as connection:
            found = injection.begin(connection, wanted, OWNER, self.pool.clock)
        counts = []
        for stage in wanted.stages:
            with writing(self.database) as connection:
                counts.append(injection.add(connection, found, NewRows(stage=stage.name, rows=rows)))
        if seal:
            with writing(self.database) as connection:
                found = self.find(connection, wanted.name)
                injection.seal(connection, found, self.pool.clock)
        return counts

    def find(self, connection: Any, name: str = "mc") -> Any:
        """The campaign in the database."""
        found = query.find(connection, "north", name)
        assert found is not None
        return found

    def act(self, action: Callable[..., int], *arguments: Any, name: str = "mc") -> int:
        """Do what an owner does."""
        with writing(self.database) as connection:
            return action(connection, self.find(connection, name), *arguments, self.pool.clock)

    def status(self, name: str = "mc") -> Status:
        """How far it is."""
        with reading(self.database) as connection:
            return query.status(connection, self.find(connection, name))

    def states(self, name: str = "mc") -> dict[str, int]:
        """Rows by state."""
        found: dict[str, int] = {}
        for count in self.status(name).counts:
            found[count.state.value] = found.get(count.state.value, 0) + count.rows
        return found

    def cycle(self) -> int:
        """One cycle of a conductor that has just been started."""
        self.pool.clock += 1
        store: Any = None
        return Conductor(
            self.settings, self.database, self.pool, self.pool, store, lambda: self.pool.clock
        ).cycle()

    def run(
        self, outcome: Callable[[JobSpec], dict[str, Any]] = lambda spec: {"ExitCode": 0}, cycles: int = 20
    ) -> None:
        """Cycle, with jobs ending in between."""
        for _ in range(cycles):
            self.cycle()
            self.pool.end(outcome)


def rows(count: int) -> list[tuple[str, list[str]]]:
    """So many rows."""
    return [(f"r{number}", [f"r{number}", str(number)]) for number in range(count)]

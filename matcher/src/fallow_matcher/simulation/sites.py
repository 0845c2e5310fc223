"""What a centre has: machines that are simply there, or pilots that start, end and are withdrawn."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Protocol

from fallow_matcher.simulation.workload import Job, Pilots

NEVER = float("inf")


class Site(Protocol):
    """Units of one resource class at one centre. What runs is known by the number of its run."""

    owner: str
    free: int
    """The most units that one job could take; below 1 when there are none."""
    due_s: float
    """When pilots come or go next."""
    limits: bool
    """Whether a job ends after what it asked for, whatever it still has to do."""

    def fits(self, job: Job, now_s: float) -> bool:
        """Whether a job could start."""

    def start(self, run: int, job: Job, now_s: float) -> None:
        """Take the units of a job that fits."""

    def end(self, run: int) -> None:
        """Give the units of a run back."""

    def resize(self, units: int, now_s: float, *, evicts: bool) -> list[int]:
        """Have `units` from now on; the runs that lost their place."""

    def turn(self, now_s: float) -> list[int]:
        """Let pilots come and go that are due; the runs that lost their place."""


class Machines:
    """Units that are simply there.

    Args:
        owner: Their centre.
    """

    due_s = NEVER
    limits = False

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.free = 0
        self._units = 0
        self._runs: dict[int, int] = {}

    def fits(self, job: Job, now_s: float) -> bool:  # noqa: ARG002
        """Whether there are units enough."""
        return job.units <= self.free

    def start(self, run: int, job: Job, now_s: float) -> None:  # noqa: ARG002
        """Take its units."""
        self._runs[run] = job.units
        self.free -= job.units

    def end(self, run: int) -> None:
        """Give its units back."""
        self.free += self._runs.pop(run)

    def resize(self, units: int, now_s: float, *, evicts: bool) -> list[int]:  # noqa: ARG002
        """Have `units`; with `evicts` the youngest runs go until the rest has room."""
        self.free += units - self._units
        self._units = units
        evicted: list[int] = []
        while evicts and self.free < 0:
            run, held = self._runs.popitem()
            self.free += held
            evicted.append(run)
        return evicted

    def turn(self, now_s: float) -> list[int]:  # noqa: ARG002
        """Nothing comes or goes."""
        return []


class _Pilot:
    __slots__ = ("drains", "ends_s", "free", "runs", "starting")

    def __init__(self, units: int) -> None:
        self.free = units
        self.ends_s = NEVER
        self.starting = True
        self.drains = False
        self.runs: dict[int, int] = {}


class Piloted:
    """As many pilots as there is room for; one that ends is followed by another.

    A job starts only in a pilot that lives as long as the job asked for.

    Args:
        owner: The centre.
        pilots: What each is like.
        begin_s: When the simulation begins: pilots that are there by then have been there for a while.
    """

    limits = True

    def __init__(self, owner: str, pilots: Pilots, begin_s: float) -> None:
        self.owner = owner
        self.free = 0
        self.due_s = NEVER
        self._like = pilots
        self._begin_s = begin_s
        self._wanted = 0
        self._there: list[_Pilot] = []
        self._of: dict[int, _Pilot] = {}
        self._due: list[tuple[float, int, _Pilot]] = []
        self._launched = 0

    def fits(self, job: Job, now_s: float) -> bool:
        """Whether a pilot has room and time enough."""
        return self._best(job, now_s) is not None

    def could_ever(self, job: Job) -> bool:
        """Whether a new pilot will have room and time enough."""
        return self._wanted > 0 and job.units <= self._like.units and job.requested_s <= self._like.walltime_s

    def start(self, run: int, job: Job, now_s: float) -> None:
        """Take a job into the fullest pilot that has room and time for it."""
        pilot = self._best(job, now_s)
        if pilot is None:  # pragma: no cover - the engine asks `fits` first
            raise ValueError("no pilot has room")
        pilot.free -= job.units
        pilot.runs[run] = job.units
        self._of[run] = pilot
        self._count()

    def end(self, run: int) -> None:
        """Give its units back; a pilot that drains goes with its last run."""
        pilot = self._of.pop(run)
        pilot.free += pilot.runs.pop(run)
        if pilot.drains and not pilot.runs:
            self._there.remove(pilot)
        self._count()

    def resize(self, units: int, now_s: float, *, evicts: bool) -> list[int]:
        """Have room for `units`: pilots start, or those that do least are withdrawn."""
        self._wanted = units // self._like.units
        evicted: list[int] = []
        staying = [pilot for pilot in self._there if not pilot.drains]
        for pilot in sorted(staying, key=lambda each: (not each.starting, len(each.runs)))[
            : max(0, len(staying) - self._wanted)
        ]:
            if evicts or not pilot.runs:
                evicted += self._gone(pilot)
            else:
                pilot.drains = True
        for number in range(self._wanted - len(staying)):
            self._launch(now_s, (number + 1) / self._wanted)
        self._count()
        return evicted

    def turn(self, now_s: float) -> list[int]:
        """Pilots that have started take jobs; those whose time is over go, and others follow."""
        evicted: list[int] = []
        while self._due and self._due[0][0] <= now_s:
            _, number, pilot = heappop(self._due)
            if pilot not in self._there:
                continue
            if pilot.starting:
                pilot.starting = False
                heappush(self._due, (pilot.ends_s, number, pilot))
                continue
            evicted += self._gone(pilot)
            if not pilot.drains:
                self._launch(now_s, 1.0)
        self._count()
        return evicted

    def _launch(self, now_s: float, part: float) -> None:
        pilot = _Pilot(self._like.units)
        ready_s = now_s + self._like.startup_s
        pilot.ends_s = ready_s + self._like.walltime_s
        if now_s < self._begin_s:
            # One after the other, as if they had been started one after the other.
            ready_s, pilot.ends_s = now_s, self._begin_s + part * self._like.walltime_s
        self._launched += 1
        self._there.append(pilot)
        heappush(self._due, (ready_s, self._launched, pilot))

    def _gone(self, pilot: _Pilot) -> list[int]:
        self._there.remove(pilot)
        for run in pilot.runs:
            del self._of[run]
        return list(pilot.runs)

    def _best(self, job: Job, now_s: float) -> _Pilot | None:
        until_s = now_s + job.requested_s
        return min(
            (
                pilot
                for pilot in self._there
                if pilot.free >= job.units
                and pilot.ends_s >= until_s
                and not pilot.starting
                and not pilot.drains
            ),
            key=lambda pilot: pilot.free,
            default=None,
        )

    def _count(self) -> None:
        self.free = max(
            (pilot.free for pilot in self._there if not pilot.starting and not pilot.drains), default=0
        )
        self.due_s = self._due[0][0] if self._due else NEVER

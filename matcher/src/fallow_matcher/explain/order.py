"""Where a waiting job stands among the others: the policy's score, applied to single jobs in sums; pure.

The policy serves the group with the highest score, the oldest job first, and a group's wait is its oldest job's. Group
after group, that is the order of the jobs by the score that each has by its own wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fallow.explanations import Place
from fallow.offers import Shape
from fallow.rules import CPU, Rules
from fallow_matcher.classads import number_of
from fallow_matcher.explain.demand import Demand
from fallow_matcher.matching import policy, waiting
from fallow_matcher.matching.decision import Decision
from fallow_matcher.matching.policy import Group, Standings

_DEMAND = ("RequestCpus", "RequestMemory", "RequestDisk", "RequestGPUs", "FallowWalltime")
ATTRIBUTES = (*waiting.ATTRIBUTES, *_DEMAND)
"""All that is read of a job that waits: no expression of it is evaluated."""


@dataclass(frozen=True)
class Waiter:
    """One waiting job."""

    id: tuple[int, int]
    centre: str
    work_type: str
    since: float
    """The moment from which its wait counts, unix time."""
    demand: Demand
    """What of it is written out in numbers; None where it is an expression."""


def waiter(ad: Mapping[str, Any]) -> Waiter:
    """The waiting job of an ad with `ATTRIBUTES`."""
    return Waiter(
        id=(int(ad["ClusterId"]), int(ad["ProcId"])),
        centre=str(ad["FallowUserCentre"]),
        work_type=str(ad["FallowWorkType"]),
        since=waiting.waits_since(ad),
        demand=_demand(*(number_of(ad, name) for name in _DEMAND)),
    )


@lru_cache(maxsize=10_000)
def _demand(
    cores: float | None,
    memory_mb: float | None,
    disk_kb: float | None,
    gpus: float | None,
    walltime_s: float | None,
) -> Demand:
    """Equal demands are one object: of ten thousand jobs few differ."""
    return Demand(cores, memory_mb, disk_kb, gpus or 0, walltime_s)


class Order:
    """The order of waiting jobs that ask for the same kind of resources.

    Args:
        waiters: Every waiting job.
        resource_class: The class of resources that is looked at.
        standings: From the ledger.
        rules: The rules in force.
        now: Unix time.
    """

    def __init__(
        self,
        waiters: Iterable[Waiter],
        resource_class: str,
        standings: Standings,
        rules: Rules,
        now: float,
    ) -> None:
        self._class, self._standings, self._rules, self._now = resource_class, standings, rules, now
        gpus = resource_class != CPU
        self._alike = [each for each in waiters if bool(each.demand.gpus) is gpus]
        self._scores: dict[tuple[str, str, float], float] = {}

    def ahead(self, job: Waiter, shapes: Mapping[str, Iterable[Shape]]) -> dict[str, int]:
        """For each centre, how many waiting jobs its slots would take before `job`; "" for all centres together.

        Args:
            job: The job.
            shapes: By centre, those that fit the job; a job too large for them is in nobody's way.
        """
        limits = {centre: _largest(list(given)) for centre, given in shapes.items()}
        fitting = {
            (centre, demand): _within(demand, most)
            for demand in {each.demand for each in self._alike}
            for centre, most in limits.items()
        }
        own = self._key(job)
        sums: dict[tuple[str, Demand], list[int]] = {}
        for other in self._alike:
            if other.id != job.id:
                counts = sums.setdefault((other.centre, other.demand), [0, 0])
                counts[0] += self._key(other) < own
                counts[1] += 1
        found = dict.fromkeys(["", *shapes], 0)
        for (home, demand), (earlier, all_of_them) in sums.items():
            takers = [centre for centre in limits if fitting[centre, demand]]
            found[""] += earlier if takers else 0
            for centre in takers:
                if not self._rules.home_first or (home == centre) is (job.centre == centre):
                    found[centre] += earlier
                elif home == centre:
                    found[centre] += all_of_them
        return found

    def place(self, job: Waiter, ahead: int, decision: Decision | None) -> Place:
        """The job's score with its factors, and its group's place: the last decision's, where it names the group."""
        score = policy.score(self._single(job, job.since), self._standings, self._rules)
        groups = self._groups()
        ranked = policy.order(groups, self._standings, self._rules)
        mine = (job.centre, job.work_type)
        place = next((each.place for each in ranked if (each.group.centre, each.group.work_type) == mine), 1)
        decided = [
            each for each in (decision.places if decision else ()) if each.resource_class == self._class
        ]
        place = next((each.place for each in decided if (each.centre, each.work_type) == mine), place)
        return Place(
            centre=job.centre,
            work_type=job.work_type,
            resource_class=self._class,
            wait_s=max(0.0, self._now - job.since),
            score=score.total,
            urgency=score.urgency,
            weight=score.weight,
            balance=score.balance,
            ahead=ahead,
            waiting=max(1, len(self._alike)),
            group_place=place,
            groups=max(len(groups), place),
        )

    def _key(self, each: Waiter) -> tuple[float, float, tuple[int, int]]:
        same = (each.centre, each.work_type, each.since)
        if same not in self._scores:
            group = self._single(each, each.since)
            self._scores[same] = policy.score(group, self._standings, self._rules).total
        return (-self._scores[same], each.since, each.id)

    def _single(self, each: Waiter, since: float) -> Group:
        return Group(each.centre, each.work_type, self._class, max(0.0, self._now - since), 1)

    def _groups(self) -> list[Group]:
        oldest: dict[tuple[str, str], list[float]] = {}
        for each in self._alike:
            found = oldest.setdefault((each.centre, each.work_type), [each.since, 0])
            found[0] = min(found[0], each.since)
            found[1] += 1
        return [
            Group(centre, work_type, self._class, max(0.0, self._now - since), int(count))
            for (centre, work_type), (since, count) in sorted(oldest.items())
        ]


def _largest(shapes: list[Shape]) -> Demand:
    """The most that any of these shapes has of each; None where it is not said."""
    lives = [shape.walltime_s for shape in shapes]
    return Demand(
        cores=max(shape.cores for shape in shapes),
        memory_mb=max(shape.memory_mb for shape in shapes),
        disk_kb=None,
        gpus=max(shape.gpus for shape in shapes),
        walltime_s=None if None in lives else max(life for life in lives if life is not None),
    )


def _within(demand: Demand, limits: Demand) -> bool:
    pairs = (
        (demand.cores, limits.cores),
        (demand.memory_mb, limits.memory_mb),
        (demand.gpus, limits.gpus),
        (demand.walltime_s, limits.walltime_s),
    )
    return all(asked is None or limit is None or asked <= limit for asked, limit in pairs)

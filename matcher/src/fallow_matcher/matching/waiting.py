"""What waits in the queue, in sums: groups for the policy, and the submitters that each group has in HTCondor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fallow.queue.records import COMING
from fallow_matcher.matching.policy import Group

CONSTRAINT = "JobStatus == 1 && FallowUserCentre =!= undefined"
ATTRIBUTES = (
    "ClusterId", "ProcId", "AutoClusterId", "AccountingGroup", "FallowUserCentre", "FallowWorkType", "QDate",
    "EnteredCurrentStatus", "LastHoldReasonCode", "JobPrio",
)  # fmt: skip
"""All that is read of a waiting job; of one job in each autocluster the whole ad is read."""


LONG_S = 30
"""So long does a job wait in a queue where something is amiss, or where there is no room."""


@dataclass(frozen=True)
class Kind:
    """What the jobs of one autocluster can use: the resource classes of the slots that fit, if any."""

    classes: tuple[str, ...]
    fits: bool
    """Whether some slot of the pool could run them were it free."""


@dataclass(frozen=True)
class Waiting:
    """The waiting jobs in sums."""

    groups: tuple[Group, ...]
    submitters: Mapping[str, tuple[str, str]]
    """Submitter without domain → centre and work type."""


def waits_since(job: Mapping[str, Any]) -> int:
    """The moment from which a job's wait counts, unix time.

    A job that its owner held and released waits from its release on, so nobody keeps old jobs in store. One that lost
    its pilot waits since it was submitted: that was not its doing.
    """
    by_owner = job.get("LastHoldReasonCode") not in (None, *COMING)
    return int(job["EnteredCurrentStatus"] if by_owner else job["QDate"])


def longest(jobs: Iterable[Mapping[str, Any]], now: float) -> Mapping[str, Any] | None:
    """The job that waits for the longest time without having run in between; None where none does for `LONG_S`.

    A job whose priority is no number, which only its owner can have brought about, does not count.
    """
    plain = (job for job in jobs if type(job.get("JobPrio")) is int)
    first = min(plain, key=lambda job: int(job["EnteredCurrentStatus"]), default=None)
    return None if first is None or now - int(first["EnteredCurrentStatus"]) < LONG_S else first


def sums(
    jobs: Iterable[Mapping[str, Any]], kind_of: Callable[[Mapping[str, Any]], Kind], now: float
) -> Waiting:
    """Waiting jobs by centre, work type and resource class.

    A group's wait is that of its oldest job that some slot could run; only where no slot could run any, that of its
    oldest. Else one job that fits nowhere would lend its age to all that come after it.

    Args:
        jobs: Ads with `ATTRIBUTES`.
        kind_of: What a job can use; asked once for each autocluster.
        now: Unix time.
    """
    kinds: dict[Any, Kind] = {}
    fitting: dict[tuple[str, str, str], list[int]] = {}
    others: dict[tuple[str, str, str], list[int]] = {}
    submitters: dict[str, tuple[str, str]] = {}
    for job in jobs:
        centre, work_type = str(job["FallowUserCentre"]), str(job["FallowWorkType"])
        submitters[str(job["AccountingGroup"])] = (centre, work_type)
        which = job.get("AutoClusterId", (job["ClusterId"], job["ProcId"]))
        if which not in kinds:
            kinds[which] = kind_of(job)
        since = waits_since(job)
        for resource_class in kinds[which].classes:
            into = fitting if kinds[which].fits else others
            found = into.setdefault((centre, work_type, resource_class), [since, 0])
            found[0] = min(found[0], since)
            found[1] += 1
    groups = []
    for key in sorted({*fitting, *others}):
        oldest, _ = fitting.get(key) or others[key]
        count = sum(found[key][1] for found in (fitting, others) if key in found)
        groups.append(Group(*key, wait_s=max(0.0, now - oldest), jobs=count))
    return Waiting(tuple(groups), submitters)

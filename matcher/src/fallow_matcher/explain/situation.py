"""All that an explanation is made of: read once, then nothing but this is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fallow.capacity import CapacityPoint
from fallow.offers import Offer
from fallow_matcher.capacity.offers import Change
from fallow_matcher.explain.order import Waiter
from fallow_matcher.matching.decision import Decision
from fallow_matcher.matching.policy import Standings
from fallow_matcher.rules import InForce


@dataclass(frozen=True)
class Situation:
    """One job and the federation around it at one moment."""

    now: float
    """Unix time."""
    job: Any
    """The job's whole ad, from the queue or its history."""
    rules: InForce
    offers: Sequence[Offer] = ()
    """The offers that stand."""
    centres: Sequence[str] = ()
    """Every centre of the federation."""
    slots: Sequence[Mapping[str, Any]] = ()
    """The pilots' slots in numbers."""
    whole: Sequence[Any] = ()
    """Whole ads of some of them: one of each centre and size."""
    waiters: Sequence[Waiter] = ()
    """Every job that waits."""
    standings: Standings = field(default_factory=dict)
    decision: Decision | None = None
    changes: Sequence[Change] = ()
    """The last change of each centre's offer, the latest first."""
    then: CapacityPoint | None = None
    """The capacity of the centre that runs or ran the job, when it started."""
    image_there: bool | None = None
    """Whether the hub has the job's image; None where that is not known."""

"""What a centre shows of several shapes, and what it asks before it uses a backfill hole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import Mock

import pytest

from fallow_pilots.batch.model import BatchSystem, Hole, Node, Spare
from fallow_pilots.decision import decide
from fallow_pilots.nodefindings import NodeCheck
from fallow_pilots.offer import offer_of
from fallow_pilots.policy import Policy
from fallow_pilots.prepare import pilot_spec
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.watch import Watch

if TYPE_CHECKING:
    from tests.pilots.launcher.conftest import TestCentre

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
GPU = {"cores": 2, "memory_mb": 1000, "gpus": 1, "gpu_model": "a100"}


def test_each_shape_is_offered_with_what_is_held_and_what_would_follow(
    policy_of: Callable[..., Policy],
) -> None:
    policy = policy_of(pilot={"other_shapes": [GPU]})
    plain = [Node(f"n{number}", 4, 8000, 0, idle=True) for number in range(3)]
    gpus = [Node("g", 8, 8000, 1, idle=True, gpu_models=(("a100", 1),))]
    own = [
        PilotRecord("alder-1", State.RUNNING, 4, 0, 3600, NOW, node="x", started=NOW),
        PilotRecord("alder-2", State.RUNNING, 2, 1, 3600, NOW, node="y", started=NOW),
        PilotRecord("alder-3", State.RUNNING, 99, 0, 3600, NOW, node="z", started=NOW),
    ]
    decision = decide(policy, Spare((*plain, *gpus)), own, NOW)
    offer = offer_of(policy, decision, own, NOW, interval_s=60, halt=None)
    assert [(shape.cores, shape.gpus, shape.gpu_model, shape.count) for shape in offer.shapes] == [
        (2, 1, "a100", 2),
        (4, 0, "", 5),
    ]
    assert [shape.walltime_s for shape in offer.shapes] == [3570, 3570]


def test_a_shape_promises_what_the_nodes_of_its_pilots_have(policy_of: Callable[..., Policy]) -> None:
    def check(pilot: str, **attributes: bool | str) -> NodeCheck:
        return NodeCheck(
            pilot=pilot, node="n", checked=NOW, fit=True, findings=(), attributes=dict(attributes)
        )

    policy = policy_of(pilot={"other_shapes": [GPU]})
    own = [
        PilotRecord("alder-1", State.RUNNING, 4, 0, 3600, NOW, node="x", started=NOW),
        PilotRecord("alder-2", State.RUNNING, 4, 0, 3600, NOW, node="y", started=NOW),
    ]
    checks = {
        "alder-1": check("alder-1", FallowHasFuse=True, FallowProcessor="x86-64-v3"),
        "alder-2": check("alder-2", FallowHasFuse=True),
    }
    decision = decide(policy, Spare(()), own, NOW)
    offer = offer_of(policy, decision, own, NOW, interval_s=60, halt=None, checks=checks)
    assert [shape.capabilities for shape in offer.shapes] == [[], ["fuse"]]


def test_a_pilot_of_several_nodes_offers_a_slot_on_each(policy_of: Callable[..., Policy]) -> None:
    policy = policy_of(pilot={"nodes": 2})
    spare = Spare(tuple(Node(f"n{number}", 4, 8000, 0, idle=True) for number in range(5)))
    offer = offer_of(policy, decide(policy, spare, [], NOW), [], NOW, interval_s=60, halt=None)
    assert [(shape.cores, shape.count) for shape in offer.shapes] == [(4, 4)]


@dataclass
class Scheduler:
    """Knows how long the hole is."""

    hole_s: int
    asked: list[Hole | None] = field(default_factory=list)

    def status(self, names: object) -> list[Any]:
        """There are no pilots."""
        return []

    def spare(self, *, count_waiting: bool, partitions: object, hole: Hole | None = None) -> Spare:
        """One idle node."""
        self.asked.append(hole)
        fits = hole is not None and hole.walltime_s <= self.hole_s
        return Spare((Node("n1", 4, 8000, 0, idle=True),), None, int(fits) if hole else None)


@pytest.mark.parametrize(
    ("hole_s", "walltimes", "startable", "startable_s"),
    [(9999, [3600], 1, 3600), (400, [3600, 300], 1, 300), (10, [3600, 300], 0, 300)],
)
def test_a_hole_too_short_for_a_whole_pilot_may_take_a_short_one(
    make_centre: Callable[..., TestCentre],
    hole_s: int,
    walltimes: list[int],
    startable: int,
    startable_s: int,
) -> None:
    centre = make_centre(when={"only_backfill": True})
    scheduler = Scheduler(hole_s)
    watch = Watch(centre.policy, cast(BatchSystem, scheduler), centre.store, Mock())
    spare = watch.look().spare
    assert spare is not None
    assert [hole and hole.walltime_s for hole in scheduler.asked] == walltimes
    assert (spare.startable, spare.startable_s) == (startable, startable_s)


def test_nobody_asks_for_holes_unless_the_policy_does(make_centre: Callable[..., TestCentre]) -> None:
    centre = make_centre()
    scheduler = Scheduler(9999)
    Watch(centre.policy, cast(BatchSystem, scheduler), centre.store, Mock()).look()
    assert scheduler.asked == [None]


@pytest.mark.parametrize(("options", "whole"), [((), False), (("--exclusive",), True)])
def test_a_pilot_that_has_its_nodes_alone_offers_all_of_them(
    make_centre: Callable[..., TestCentre], options: tuple[str, ...], whole: bool
) -> None:
    centre = make_centre(batch={"options": list(options)})
    decision = decide(centre.policy, Spare((Node("n1", 4, 8000, 0, idle=True),)), [], NOW)
    told = pilot_spec(centre.policy, centre.layout, "alder-1", decision.main.lot, centre.hub.federation())
    assert told.whole_node is whole

"""Pilots for backfill holes: started at once or not at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from fallow_pilots.caps import Lot
from fallow_pilots.launcher import HOLE

if TYPE_CHECKING:
    from tests.pilots.launcher.conftest import TestCentre

LIFE = timedelta(seconds=600)


def lot(centre: TestCentre) -> Lot:
    return Lot(centre.policy.pilot.shapes[0], int(LIFE.total_seconds()), 1)


def test_a_pilot_for_a_hole_is_dropped_where_it_does_not_start_at_once(
    make_centre: Callable[..., TestCentre],
) -> None:
    centre = make_centre(when={"only_backfill": True})
    assert centre.launcher.job("alder-1", lot(centre), None).deadline == centre.now + LIFE + HOLE


def test_a_window_that_closes_sooner_counts(make_centre: Callable[..., TestCentre]) -> None:
    centre = make_centre(when={"only_backfill": True})
    closes = centre.now + LIFE
    assert centre.launcher.job("alder-1", lot(centre), closes).deadline == closes


def test_other_pilots_may_wait_in_the_queue(centre: TestCentre) -> None:
    assert centre.launcher.job("alder-1", lot(centre), None).deadline is None

"""The policy's order as priority factors of HTCondor's submitters; pure.

The negotiator serves submitters by effective priority, lowest first: real priority (from 0.5 for one that used nothing up to
the cores it uses) times factor. The first places are so far apart that the real priority decides only between the users of
one group, in favour of whoever used less: that is how they share fairly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fallow_matcher.matching.policy import Ranked

UNRANKED = 1e38
"""The factor of submitters without waiting work, and of those that the matcher has not seen yet: they come last.

HTCondor takes factors as single-precision numbers: what is beyond 3.4e38 arrives as 1, the first place.
"""

_WIDEST = 1e6
"""More than the ratio between two real priorities can be in a pool of 500,000 cores."""

_APART = 5
"""Places that are so far apart, after the first; what is left of the range is for the others, where usage may count."""


def of_groups(ranked: Iterable[Ranked]) -> dict[tuple[str, str], float]:
    """The factor of each centre and work type, 1 for the first place.

    A centre's work type that waits in several resource classes has one submitter for all; its best place counts.

    Args:
        ranked: The groups of all resource classes in one order, best first.
    """
    places: dict[tuple[str, str], int] = {}
    for entry in ranked:
        places.setdefault((entry.group.centre, entry.group.work_type), entry.place)
    order = sorted(set(places.values()))
    return {group: _factor(order.index(place), len(order)) for group, place in places.items()}


def _factor(position: int, count: int) -> float:
    """The factor of one of `count` places, the first of which is 0."""
    far = _WIDEST ** min(position, _APART)
    if position <= _APART:
        return far
    near = (UNRANKED / far) ** (1 / (count - _APART))
    return float(far * near ** (position - _APART))


def changes(
    wanted: Mapping[tuple[str, str], float],
    submitters: Mapping[str, tuple[str, str]],
    present: Mapping[str, float],
) -> dict[str, float]:
    """The factors to set, by submitter: of those that wait, and of those that no longer do.

    Args:
        wanted: What `of_groups` said.
        submitters: The group of each submitter that has waiting work.
        present: The factors that HTCondor has now.
    """
    due = {name: wanted.get(group, UNRANKED) for name, group in submitters.items()}
    due |= {name: UNRANKED for name in present if name not in due}
    return {name: factor for name, factor in due.items() if not _same(factor, present.get(name))}


def _same(factor: float, present: float | None) -> bool:
    # HTCondor rounds them on the way.
    return present is not None and abs(present - factor) <= factor * 1e-6

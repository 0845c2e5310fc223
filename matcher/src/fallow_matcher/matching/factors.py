"""The policy's order as priority factors of HTCondor's submitters; pure.

The negotiator serves submitters by effective priority, lowest first: real priority (from 0.5 for one that used nothing up to
the cores it uses) times factor. Places are so far apart that the real priority decides only between the users of one group,
in favour of whoever used less: that is how they share fairly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fallow_matcher.matching.policy import Ranked

UNRANKED = 1e290
"""The factor of submitters without waiting work, and of those that the matcher has not seen yet: they come last."""

_WIDEST = 1e6
"""More than the ratio between two real priorities can be in a pool of 500,000 cores."""


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
    apart = min(_WIDEST, UNRANKED ** (1 / (len(order) + 1)))
    return {group: apart ** order.index(place) for group, place in places.items()}


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

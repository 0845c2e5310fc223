"""One look at offers and slots as numbers for each centre; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fallow.offers import Offer, OfferState
from fallow_matcher.capacity.tables import MEASURES
from fallow_matcher.classads import number_of

HEARD_S = 160
"""A slot of which nothing was heard for longer is taken for gone, as the negotiator does (hub.config)."""

SLOTS = f"PartitionableSlot =?= true && time() - LastHeardFrom < {HEARD_S}"
"""The slots that count: one for each pilot's node."""

ATTRIBUTES = ("FallowCentre", "Cpus", "TotalSlotCpus", "GPUs", "TotalSlotGPUs")
"""What must be known of them."""

Sample = dict[str, float]
"""A number for each of `MEASURES`."""


def sample(offers: Iterable[Offer], slots: Iterable[Mapping[str, Any]]) -> dict[str, Sample]:
    """What each centre offers, runs and uses now.

    Args:
        offers: The offers that stand; what a withdrawn or draining centre would give counts as nothing.
        slots: Ads of the pilots' slots, at least `ATTRIBUTES`.
    """
    found: dict[str, Sample] = {}

    def of(centre: str) -> Sample:
        return found.setdefault(centre, dict.fromkeys(MEASURES, 0.0))

    for offer in offers:
        about = of(offer.centre)
        for shape in offer.shapes if offer.state is OfferState.OPEN else ():
            about["pilots_offered"] += shape.count
            about["cores_offered"] += shape.count * shape.cores
            about["gpus_offered"] += shape.count * shape.gpus
    for slot in slots:
        about = of(str(slot.get("FallowCentre", "")))
        about["pilots_running"] += 1
        for kind, name in (("cores", "Cpus"), ("gpus", "GPUs")):
            whole = number_of(slot, f"TotalSlot{name}") or 0.0
            about[f"{kind}_running"] += whole
            about[f"{kind}_used"] += max(0.0, whole - (number_of(slot, name) or 0.0))
    return {centre: about for centre, about in found.items() if centre}

"""Whether some slot of the pool could run a job, were it free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fallow.rules import Rules
from fallow_matcher.matching.waiting import Kind

SLOTS = "PartitionableSlot && FallowCentre =!= undefined"
_WHOLE = {
    "Cpus": "TotalSlotCpus",
    "Memory": "TotalSlotMemory",
    "Disk": "TotalSlotDisk",
    "GPUs": "TotalSlotGPUs",
}
"""What a partitionable slot has left → what it has when nothing runs."""


class Slots:
    """The pool's slots as far as they differ, each with nothing running on it.

    Args:
        ads: Partitionable slots.
        rules: The rules in force; they say which slots are comparable.
    """

    def __init__(self, ads: Iterable[Any], rules: Rules) -> None:
        self._rules = rules
        kept: dict[tuple[Any, ...], Any] = {}
        for ad in ads:
            shape = (ad.get("FallowCentre"), model_of(ad), *(ad.get(total) for total in _WHOLE.values()))
            if shape not in kept or ad.get("FallowUntil", 0) > kept[shape].get("FallowUntil", 0):
                kept[shape] = ad
        self._ads = list(kept.values())
        for ad in self._ads:
            for left, total in _WHOLE.items():
                if total in ad:
                    ad[left] = ad[total]

    def providers(self) -> dict[str, set[str]]:
        """The centres that have slots, by resource class."""
        found: dict[str, set[str]] = {}
        for ad in self._ads:
            found.setdefault(self._rules.resource_class(model_of(ad)), set()).add(str(ad["FallowCentre"]))
        return found

    def kind_of(self, job: Any) -> Kind:
        """The resource classes of the slots that fit a job; where none fits, the one that it asks for."""
        wants_gpus = int(job.get("RequestGPUs") or 0) > 0
        classes = sorted(
            {
                self._rules.resource_class(model_of(ad) if wants_gpus else "")
                for ad in self._ads
                if job.symmetricMatch(ad)
            }
        )
        unknown = self._rules.resource_class("unknown" if wants_gpus else "")
        return Kind(tuple(classes) or (unknown,), fits=bool(classes))


def model_of(slot: Mapping[str, Any]) -> str:
    """The model of a slot's GPUs, empty where it has none."""
    if not slot.get("TotalSlotGPUs"):
        return ""
    return str(slot.get("GPUs_DeviceName") or "unknown")

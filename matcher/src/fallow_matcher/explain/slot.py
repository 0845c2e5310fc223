"""The slot that a pilot of an offer's shape would bring, as a ClassAd; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fallow.admission import ADMISSION
from fallow.images.architecture import among
from fallow.offers import Condition, Offer, Shape
from fallow_matcher.explain.demand import Demand

BASE: dict[str, Any] = {
    "Arch": "X86_64",
    "OpSys": "LINUX",
    "PartitionableSlot": True,
    "HasContainer": True,
    "HasSIF": True,
    "HasSingularity": True,
    "HasFileTransfer": True,
    "CondorVersion": "$CondorVersion: 25.13.2 2026-01-01 $",
}
"""What every pilot advertises, for a centre of which no pilot has been seen."""

UNSAID_S = 366 * 86_400
"""The life of a pilot whose centre does not say it: long enough for every job, so that it hinders none."""
UNSAID_KB = 10_000_000_000 * 1024
"""Likewise the scratch space of a node of which nothing is said."""

WITHIN = (
    "TARGET.RequestCpus <= MY.Cpus && TARGET.RequestMemory <= MY.Memory && TARGET.RequestDisk <= MY.Disk"
    " && (TARGET.RequestGPUs ?: 0) <= (MY.GPUs ?: 0)"
)
"""What HTCondor itself asks before it gives a part of a slot to a job."""


def conditions_of(offer: Offer) -> list[Condition]:
    """What a pilot of this offer asks of a job: what all pilots do, and the centre's own conditions."""
    return [*ADMISSION, *(condition for condition in offer.conditions if condition.requirement)]


def slot_of(
    offer: Offer,
    shape: Shape,
    now: float,
    live: Mapping[str, Any] | None = None,
    demand: Demand | None = None,
) -> Any:
    """The slot's ad.

    Args:
        offer: The centre's offer.
        shape: One shape of it.
        now: Unix time.
        live: A slot of the same centre that is in the pool: what the offer does not say is taken from it.
        demand: Make the slot as large as this asks, where it is smaller.
    """
    import classad2

    disk_kb = shape.disk_mb * 1024 or (live or {}).get("TotalSlotDisk") or UNSAID_KB
    sizes: dict[str, float] = {
        "Cpus": shape.cores,
        "Memory": shape.memory_mb,
        "Disk": int(disk_kb),
        "GPUs": shape.gpus,
    }
    architecture = among(shape.capabilities)
    life_s: float = shape.walltime_s or UNSAID_S
    if demand is not None:
        asked = {
            "Cpus": demand.cores,
            "Memory": demand.memory_mb,
            "Disk": demand.disk_kb,
            "GPUs": demand.gpus,
        }
        sizes = {name: max(size, asked[name] or 0) for name, size in sizes.items()}
        life_s = max(life_s, demand.walltime_s or 0)
    gpus = int(sizes["GPUs"])
    known = {name: value for name, value in (live or {}).items() if not isinstance(value, classad2.ExprTree)}
    ad = classad2.ClassAd({
        **BASE,
        **known,
        **({"Arch": architecture} if architecture else {}),
        **{name: int(size) for name, size in sizes.items()},
        "FallowCentre": offer.centre,
        # one second more than it lives, for the one that passes until the ad is looked at
        "FallowUntil": int(now + life_s) + 1,
    })  # fmt: skip
    if gpus:
        model = shape.gpu_model or (live or {}).get("FallowGpuModel") or ""
        ad["FallowGpuModel"] = model
        ad["AvailableGPUs"] = [classad2.ClassAd({"DeviceName": model}) for _ in range(gpus)]
    ad["Start"] = classad2.ExprTree(
        " && ".join(f"({condition.requirement})" for condition in conditions_of(offer))
    )
    ad["Requirements"] = classad2.ExprTree(f"Start && {WITHIN}")
    return ad

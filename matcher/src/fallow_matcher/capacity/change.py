"""In what one offer of a centre differs from the next, in words; a pure function."""

from __future__ import annotations

from fallow.offers import Offer, Shape


def change(before: Offer | None, after: Offer) -> str:
    """What changed, in one sentence; empty where only time has passed and pilots have come and gone."""
    if before is None:
        return f"{after.centre} made an offer: {_size(after)}."
    said = []
    if before.state is not after.state:
        said.append(f"its offer was {before.state.value} and is {after.state.value}")
    if _shapes(before) != _shapes(after):
        said.append(f"it offers {_size(after)} instead of {_size(before)}")
    old = {condition.sentence for condition in before.conditions}
    new = {condition.sentence for condition in after.conditions}
    said += [f"new condition: “{sentence.rstrip('.')}”" for sentence in sorted(new - old)]
    said += [f"no longer a condition: “{sentence.rstrip('.')}”" for sentence in sorted(old - new)]
    return f"{after.centre}: {'; '.join(said)}." if said else ""


def _shapes(offer: Offer) -> list[Shape]:
    """The shapes but for their pilots' life, which gets shorter while a window closes."""
    return [shape.model_copy(update={"walltime_s": None}) for shape in offer.shapes]


def _size(offer: Offer) -> str:
    sizes = [
        f"{shape.count} x {shape.cores} cores, {shape.memory_mb} MB"
        + (f", {shape.gpus} x {shape.gpu_model or 'GPU'}" if shape.gpus else "")
        for shape in offer.shapes
    ]
    return " and ".join(sizes) or "nothing"

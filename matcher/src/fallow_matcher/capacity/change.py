"""In what one offer of a centre differs from the next, in words; a pure function."""

from __future__ import annotations

from fallow.offers import Offer


def change(before: Offer | None, after: Offer) -> str:
    """What changed, in one sentence; empty where only time has passed and pilots have come and gone."""
    if before is None:
        return f"{after.centre} made an offer: {_size(after)}."
    said = []
    if before.state is not after.state:
        said.append(f"its offer was {before.state.value} and is {after.state.value}")
    if _size(before) != _size(after):
        said.append(f"it offers {_size(after)} instead of {_size(before)}")
    had, has = _capabilities(before), _capabilities(after)
    if had and has:  # running pilots found them out: without one they are not known
        said += [f"its nodes now have {name}" for name in sorted(has - had)]
        said += [f"its nodes no longer have {name}" for name in sorted(had - has)]
    old = {condition.sentence for condition in before.conditions}
    new = {condition.sentence for condition in after.conditions}
    said += [f"new condition: “{sentence.rstrip('.')}”" for sentence in sorted(new - old)]
    said += [f"no longer a condition: “{sentence.rstrip('.')}”" for sentence in sorted(old - new)]
    return f"{after.centre}: {'; '.join(said)}." if said else ""


def _capabilities(offer: Offer) -> set[str]:
    return {name for shape in offer.shapes for name in shape.capabilities}


def _size(offer: Offer) -> str:
    """The shapes but for their pilots' life, which gets shorter while a window closes."""
    sizes = [
        f"{shape.count} x {shape.cores} cores, {shape.memory_mb} MB"
        + (f", {shape.disk_mb} MB of scratch" if shape.disk_mb else "")
        + (f", {shape.gpus} x {shape.gpu_model or 'GPU'}" if shape.gpus else "")
        for shape in offer.shapes
    ]
    return " and ".join(sizes) or "nothing"

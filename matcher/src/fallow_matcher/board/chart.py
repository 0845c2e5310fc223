"""Small drawings as SVG: no style, no script, no number that is not in a table beside; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from markupsafe import Markup

from fallow.capacity import Amount, CapacityPoint

WIDTH, HEIGHT = 240, 48

_LAYERS: Sequence[tuple[str, Callable[[Amount], float]]] = (
    ("offered", lambda amount: amount.offered),
    ("running", lambda amount: amount.running),
    ("used", lambda amount: amount.used),
)


def capacity(
    points: Sequence[CapacityPoint], since: datetime, until: datetime, step_s: int, words: str
) -> Markup:
    """What one centre offered, ran and used over time, in cores, as three areas one before the other.

    Args:
        points: Oldest first, all of one centre; where one is missing nothing is drawn.
        since: The left edge.
        until: The right edge.
        step_s: Length of a point, in seconds.
        words: What the drawing shows, for who does not see it.
    """
    most = max((max(point.cores.offered, point.cores.running) for point in points), default=0.0) or 1.0
    length_s = (until - since).total_seconds()
    paths = []
    for name, of in _LAYERS:
        spans = [
            ((point.at - since).total_seconds() / length_s * WIDTH, of(point.cores) / most * HEIGHT)
            for point in points
        ]
        paths.append(
            Markup('<path class="{}" d="{}"/>').format(name, _area(spans, step_s / length_s * WIDTH))
        )
    return _svg(words, Markup("").join(paths))


def bar(value: float, most: float, words: str) -> Markup:
    """A bar to the right of the middle for what is above zero, to the left for what is below."""
    half = WIDTH / 2
    length = round(min(1.0, abs(value) / most) * half, 1) if most else 0.0
    left = half if value >= 0 else half - length
    kind = "gave" if value >= 0 else "took"
    inner = Markup('<path class="axis" d="M{} 0v12"/><rect class="{}" x="{}" y="2" width="{}" height="8"/>')
    return _svg(words, inner.format(half, kind, left, length), height=12)


def _area(spans: Sequence[tuple[float, float]], width: float) -> str:
    """The path of an area: for each span its left edge and its height; neighbours share an edge."""
    said: list[str] = []
    right, height = float("-inf"), 0.0
    for left, high in spans:
        if left - right > width / 2:
            said.append(f"{f'V{HEIGHT}' if said else ''}M{left:.4g} {HEIGHT}")
            height = 0.0
        if round(high, 1) != height:
            height = round(high, 1)
            said.append(f"V{HEIGHT - height:.4g}")
        right = left + width
        said.append(f"H{right:.4g}")
    return "".join(said) + (f"V{HEIGHT}" if said else "")


def _svg(words: str, inner: Markup, height: int = HEIGHT) -> Markup:
    head = Markup('<svg role="img" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">')
    return head.format(words, WIDTH, height) + inner + Markup("</svg>")

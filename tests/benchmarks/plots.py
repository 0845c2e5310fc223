"""Draws some benchmarks from their figures, as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

Figures = Mapping[str, Any]


def draw(document: Mapping[str, Any]) -> str:
    """The plot of a benchmark that is in DRAWN."""
    chart = DRAWN[document["benchmark"]](document["figures"])
    chart.uuid = document["benchmark"]  # else the same figures draw another file each time
    return str(chart.render(disable_xml_declaration=True)) + "\n"


def short_jobs(figures: Figures) -> Any:
    """Jobs per second, one bar for each system."""
    chart = _chart("HorizontalBar", "jobs per second, median")
    for name, found in figures["systems"].items():
        chart.add(name, round(median(found["rates"]), 1))
    return chart


def snakemake(figures: Figures) -> Any:
    """Wall times, one bar for each executor and workflow."""
    chart = _chart("HorizontalBar", "wall time in seconds, median")
    chart.x_labels = [f"{figures['rules']} rules of 1 s", "the demo's workflow"]
    for name, times in figures["wall_s"].items():
        chart.add(name, [round(median(times[workflow])) for workflow in ("second", "demo")])
    return chart


def scale(figures: Figures) -> Any:
    """CPU seconds of a negotiation cycle, and seconds of the matcher's, by slots; both axes logarithmic."""
    chart = _chart("XY", "seconds by slots, both as powers of ten")
    for name, label in (("negotiation_cpu_s", "negotiation"), ("matcher_s", "matcher's cycle")):
        points = [(math.log10(point["slots"]), math.log10(point[name])) for point in figures["by_slots"]]
        chart.add(label, points)
    return chart


DRAWN: dict[str, Callable[[Figures], Any]] = {
    "short_jobs": short_jobs,
    "snakemake": snakemake,
    "scale": scale,
}


def _chart(kind: str, title: str) -> Any:
    import pygal
    import pygal.style

    style = pygal.style.LightColorizedStyle(font_family="sans-serif", background="white")
    return getattr(pygal, kind)(
        title=title, style=style, width=800, height=400, js=[], print_values=kind != "XY"
    )

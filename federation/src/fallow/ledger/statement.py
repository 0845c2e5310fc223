"""A month of one centre as people read it: headings, sentences, tables and plots, for a page and for paper alike; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Union

from fallow.ledger.messages import Sum
from fallow.ledger.monthly import MonthReport

SIDES = {"given": "#1b7f4d", "got": "#2b5fb4", "home": "#9a9a9a"}
"""The kinds of runs, each with its colour."""

_WIDTH, _HEIGHT = 620, 120


@dataclass(frozen=True)
class Heading:
    """A heading within the report."""

    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows that have the same fields."""

    rows: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Plot:
    """A drawing as SVG, without words in it: these are in the text beside."""

    svg: str


Block = Union[Heading, Text, Table, Plot]


def title(report: MonthReport) -> str:
    """What the report is called."""
    return f"{report.centre} in the federation, {report.month}"


def blocks(report: MonthReport) -> Iterator[Block]:
    """All that a report says, in order."""
    yield from (Text(said) for said in sentences(report))
    yield Heading("Given: whom it helped")
    yield Table(summed(report.given, "consumer"))
    yield Heading("Got: who helped it")
    yield Table(summed(report.got, "provider"))
    yield Heading("At home")
    yield Table(summed(report.home, "work_type"))
    yield Heading("Day by day")
    for kind in dict.fromkeys(day.resource_class for day in report.days):
        drawn, most_h = bars(report, kind)
        yield Plot(drawn)
        yield Text(
            f"{kind}, hours a day from the first to the last of the month, each bar from below: given (green), got "
            f"(blue), at home (grey). The highest bar is {most_h:,.2f} h."
        )
    yield Heading("Waiting")
    yield Table(waited(report))
    yield Text("Alone is the same work, simulated, on the centre's own machines without the federation.")
    yield Heading("Its people")
    yield Table(summed(report.people, "user"))
    yield Heading("How runs ended")
    yield Table(summed(report.ends, "side", "outcome"))
    yield Text(
        f"Months are those of UTC. Time counts in the month that it fell into, a run in the month of its end. "
        f"Runs that have not ended ({report.running}) are in no sum. Digest: {report.digest}"
    )


def sentences(report: MonthReport) -> Iterator[str]:
    """What a director wants to know first."""
    helped = _centres(one.group["consumer"] for one in report.given)
    helpers = _centres(one.group["provider"] for one in report.got)
    yield (
        f"{report.centre} gave {_total(report.given)} to {helped} and got {_total(report.got)} from {helpers}. "
        f"Its own jobs used {_total(report.home)} at home."
    )
    if report.pilots:
        yield f"Its {report.pilots} pilots offered {_hours(report.offered_core_s):,.2f} core-hours."
    for each in report.waits:
        if each.saved_s is not None:
            word = "less" if each.saved_s >= 0 else "longer"
            yield (
                f"Its {each.alone_jobs} {each.resource_class} jobs that its own machines could have run waited "
                f"{_hours(abs(each.saved_s)):,.2f} hours {word}, all together, than they would have waited alone."
            )
        if each.alone_jobs < each.jobs:
            number = each.jobs - each.alone_jobs
            yield f"{number} of its {each.resource_class} jobs could not have run on its own machines at all."


def summed(sums: Iterable[Sum], *keys: str) -> list[dict[str, Any]]:
    """Sums folded to some of what they have in common, in hours; classes of resources are always apart."""
    folded: dict[tuple[str, ...], list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    names: tuple[str, ...] = ()
    for one in sums:
        names = (*keys, *(["resource_class"] if "resource_class" in one.group else []))
        total = folded[tuple(one.group[name] for name in names)]
        for place, amount in enumerate((one.runs, one.core_s, one.value)):
            total[place] += amount
    return [
        {
            **dict(zip(names, key)),
            "runs": int(runs),
            "core_h": _hours(core_s),
            "value_h": _hours(value),
        }
        for key, (runs, core_s, value) in sorted(folded.items())
    ]


def waited(report: MonthReport) -> list[dict[str, Any]]:
    """The waits, in minutes."""
    return [
        {
            "resource_class": each.resource_class,
            "jobs": each.jobs,
            "mean_min": _minutes(each.mean_s),
            "p95_min": _minutes(each.p95_s),
            "could_run_alone": each.alone_jobs,
            "alone_mean_min": _minutes(each.alone_mean_s),
            "alone_p95_min": _minutes(each.alone_p95_s),
            "saved_h": "" if each.saved_s is None else _hours(each.saved_s),
        }
        for each in report.waits
    ]


def bars(report: MonthReport, resource_class: str) -> tuple[str, float]:
    """One bar for each day of the month, and the height of the highest in hours."""
    days = {day.day: day for day in report.days if day.resource_class == resource_class}
    count = (report.until - report.since).days
    names = [f"{report.since + timedelta(days=number):%Y-%m-%d}" for number in range(count)]
    stacks = [
        [getattr(days[name], f"{side}_core_s") if name in days else 0.0 for side in SIDES] for name in names
    ]
    most = max(map(sum, stacks), default=0.0)
    step, drawn = _WIDTH / count, []
    for number, stack in enumerate(stacks):
        below = float(_HEIGHT)
        for colour, seconds in zip(SIDES.values(), stack):
            height = _HEIGHT * seconds / most if most else 0.0
            below -= height
            if height:
                drawn.append(
                    f'<rect x="{number * step:.2f}" y="{below:.2f}" width="{step * 0.8:.2f}" '
                    f'height="{height:.2f}" fill="{colour}"/>'
                )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
    return head + "".join(drawn) + "</svg>", _hours(most)


def _centres(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names))) or "anybody"


def _total(sums: Sequence[Sum]) -> str:
    """The hours of sums, GPU-hours apart from core-hours."""
    kinds: dict[str, float] = defaultdict(float)
    for one in sums:
        kinds[one.group["resource_class"]] += one.core_s
    said = [f"{_hours(kinds[kind]):,.2f} {'core' if kind == 'cpu' else kind}-hours" for kind in sorted(kinds)]
    return " and ".join(said) or "nothing"


def _hours(seconds: float) -> float:
    return round(seconds / 3600, 2)


def _minutes(seconds: float | None) -> float | str:
    return "" if seconds is None else round(seconds / 60, 1)

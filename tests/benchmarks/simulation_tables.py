"""The tables of docs/explanation/simulation.md, from the figures of the benchmark `simulation`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

CENTRES = ("first", "second", "third")
Case = Mapping[str, Any]


def spread(values: Iterable[float], form: str) -> str:
    """The median, and the least and the most."""
    found = sorted(values)
    least, middle, most = (format(each, form) for each in (found[0], median(found), found[-1]))
    return middle if least == most else f"{middle} ({least} to {most})"


def relative(case: Mapping[str, float | None], centres: Sequence[str] = CENTRES) -> list[float]:
    """Waits beside alone, of the centres that wait alone."""
    return [value for centre in centres if (value := case[centre]) is not None]


def tables(document: Mapping[str, Any]) -> Iterator[str]:
    """The tables, Markdown."""
    million = document["million"]
    yield (
        f"\n{million['jobs']:,} jobs of 1 to 8 cores took {million['cpu_s']:.0f} s of one core and "
        f"{million['memory_mb']:.0f} MB. The other figures depend on no machine.\n"
    )
    one = [case for case in document["cases"] if case["case"] == "LCG by demand"]
    yield from by_demand(one)
    groups = {
        "LCG, three dealings": [case for case in document["cases"] if case["case"].startswith("LCG")],
        "generated, five seeds": [case for case in document["cases"] if case["case"].startswith("generated")],
    }
    yield "\nOver dealings and seeds, median (least to most):\n\n"
    yield "| work, load | policy | total wait cut by | worst centre beside alone | worst other, third gives a tenth |\n"
    yield "|---|---|---|---|---|\n"
    for name, cases in groups.items():
        for load in (0.8, 0.95):
            yield from rows(f"{name}, {load:.0%}", [case for case in cases if case["load"] == load])
    yield "\nHow much sooner the third centre's jobs are done if it cheats; below 0 it does not pay:\n\n"
    yield "| strategy | LCG by demand, 80 % | 95 % | generated, both loads |\n|---|---|---|---|\n"
    generated = groups["generated, five seeds"]
    for strategy in generated[0]["cheats"] if generated else ():
        own = [f"{case['cheats'][strategy]['gain']:+.1%}" for case in one]
        many = spread((case["cheats"][strategy]["gain"] for case in generated), "+.1%")
        yield f"| {strategy} | {' | '.join(own)} | {many} |\n"


def by_demand(cases: Sequence[Case]) -> Iterator[str]:
    """The trace dealt by demand, policy by policy."""
    yield "\nLCG-2005-1 dealt by demand: mean wait of all, by what part it is cut, and each centre beside alone.\n\n"
    head = " | ".join(f"load {case['load']:.0%} (alone {case['alone_min']['all']:.0f} min)" for case in cases)
    yield f"| policy | {head} |\n|---|{'---|' * len(cases)}\n"
    for policy in cases[0]["policies"] if cases else ():
        if policy == "isolated":
            continue
        cells = []
        for case in cases:
            found = case["policies"][policy]
            beside = " ".join(f"{value:.2f}" for value in relative(found["relative"]))
            cells.append(f"{found['mean_min']:.0f} min, {found['cut']:.1%}; {beside}")
        yield f"| {policy} | {' | '.join(cells)} |\n"
    yield "\nThe same if the third gives a tenth; each centre beside what it waits alone with all that it has.\n\n"
    head = " | ".join(f"load {case['load']:.0%}" for case in cases)
    yield f"| policy | {head} |\n"
    yield f"|---|{'---|' * len(cases)}\n"
    for policy in cases[0]["tenth"] if cases else ():
        cells = [" ".join(f"{value:.2f}" for value in relative(case["tenth"][policy])) for case in cases]
        yield f"| {policy} | {' | '.join(cells)} |\n"


def rows(name: str, cases: Sequence[Case]) -> Iterator[str]:
    """Each policy over several cases."""
    for policy in cases[0]["policies"] if cases else ():
        if policy == "isolated":
            continue
        found = [case["policies"][policy] for case in cases]
        cut = spread((each["cut"] for each in found), ".0%")
        worst = spread((max(relative(each["relative"])) for each in found), ".2f")
        with_rider = (
            spread((max(relative(case["tenth"][policy], CENTRES[:2])) for case in cases), ".2f")
            if policy in cases[0]["tenth"]
            else ""
        )
        yield f"| {name} | {policy} | {cut} | {worst} | {with_rider} |\n"

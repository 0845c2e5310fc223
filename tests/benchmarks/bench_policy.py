"""The worked examples of docs/explanation/matching.md: scores, bounds, and what centres get that try to gain.

The same on every machine: nothing is timed.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.outcome import as_rows, conditions, tell
from tests.matcher.matching.trade import CPU, Place, shares

from fallow.rules import Rules, default_text, parse_rules
from fallow_matcher.matching.policy import Group, longest_wait_s, order, worst_ratio

RULES = parse_rules(default_text())
HOUR = 3600.0
TITLE = "Worked examples of the matching policy"


Row = dict[str, str]


def example(
    title: str, groups: list[Group], standings: dict[tuple[str, str], Place], provider: str | None
) -> Iterator[Row]:
    """One order with its scores."""
    for entry in order(groups, standings, RULES, provider):
        group, score = entry.group, entry.score
        yield {
            "example": title,
            "of": f"{entry.place}. {group.centre} {group.work_type}",
            "comes to": f"{score.urgency:.2f} x {score.weight:g} x {score.balance:.2f} = {score.total:.2f}",
        }


def held(title: str, slots: dict[str, int], demand: dict[str, int], terms: Rules) -> Iterator[Row]:
    """What each centre holds on average."""
    for centre, share in shares(slots, demand, terms, rounds=400).items():
        yield {"example": title, "of": centre, "comes to": f"{share:.1f} slots"}


def examples() -> Iterator[Row]:
    """All of them."""
    gives, even, rides = Place(200.0, 100.0), Place(50.0, 100.0), Place(-300.0, 100.0)
    groups = [
        Group("alder", "analysis", CPU, 0.0, 10),
        Group("birch", "analysis", CPU, HOUR, 10),
        Group("cedar", "production", CPU, HOUR, 10),
        Group("cedar", "test", CPU, 24 * HOUR, 1),
    ]
    standings = {("alder", CPU): gives, ("birch", CPU): even, ("cedar", CPU): rides}
    title = "a slot of doum; alder gave twice its credit line, birch half, cedar rides"
    yield from example(title, groups, standings, "doum")
    yield from example("the same for a slot of cedar", groups, standings, "cedar")
    yield {"example": "worst ratio", "of": "R", "comes to": f"{worst_ratio(RULES):g}"}
    for load in (0.5, 0.8, 0.95):
        bound = longest_wait_s(RULES, load, HOUR) / HOUR
        yield {
            "example": "a job behind one hour of work",
            "of": f"load {load}",
            "comes to": f"waits {bound:.1f} h at most",
        }
    terms = RULES.model_copy(update={"half_life_s": 24 * RULES.ageing_s})
    yield from held("one and other, alike", {"one": 12, "other": 12}, {"one": 24, "other": 24}, terms)
    yield from held(
        "one splits: machines in one half, work in both",
        {"one": 12, "two": 0, "other": 12},
        {"one": 12, "two": 12, "other": 24},
        terms,
    )
    yield from held(
        "one splits: machines in one half, all work in the other",
        {"one": 12, "two": 0, "other": 12},
        {"one": 0, "two": 24, "other": 24},
        terms,
    )
    yield from held(
        "one splits evenly", {"one": 6, "two": 6, "other": 12}, {"one": 12, "two": 12, "other": 24}, terms
    )
    yield from held(
        "without home first, a third gives a tenth",
        {"one": 10, "two": 10, "rider": 1},
        {"one": 20, "two": 20, "rider": 20},
        terms.model_copy(update={"home_first": False}),
    )


def main() -> None:
    """Show all examples."""
    about = conditions()
    tell("policy", TITLE, about, {"rows": list(examples())}, as_rows)


if __name__ == "__main__":
    main()

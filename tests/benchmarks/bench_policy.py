"""The worked examples of docs/explanation/matching.md: scores, bounds, and what centres get that try to gain.

The same on every machine: nothing is timed.
"""

from __future__ import annotations

from tests.matcher.matching.trade import CPU, Place, shares

from fallow.rules import default_text, parse_rules
from fallow_matcher.matching.policy import Group, longest_wait_s, order, worst_ratio

RULES = parse_rules(default_text())
HOUR = 3600.0


def example(
    title: str, groups: list[Group], standings: dict[tuple[str, str], Place], provider: str | None
) -> None:
    """Print one order with its scores."""
    print(title)
    for entry in order(groups, standings, RULES, provider):
        group, score = entry.group, entry.score
        print(
            f"  {entry.place}. {group.centre} {group.work_type}: {score.urgency:.2f} x {score.weight:g} x "
            f"{score.balance:.2f} = {score.total:.2f}"
        )


def main() -> None:
    """Print all examples."""
    gives, even, rides = Place(200.0, 100.0), Place(50.0, 100.0), Place(-300.0, 100.0)
    groups = [
        Group("alder", "analysis", CPU, 0.0, 10),
        Group("birch", "analysis", CPU, HOUR, 10),
        Group("cedar", "production", CPU, HOUR, 10),
        Group("cedar", "test", CPU, 24 * HOUR, 1),
    ]
    standings = {("alder", CPU): gives, ("birch", CPU): even, ("cedar", CPU): rides}
    example(
        "A slot of doum, alder gave twice its credit line, birch half, cedar rides:",
        groups,
        standings,
        "doum",
    )
    example("The same for a slot of cedar:", groups, standings, "cedar")
    print(f"R = {worst_ratio(RULES):g}")
    for load in (0.5, 0.8, 0.95):
        bound = longest_wait_s(RULES, load, HOUR) / HOUR
        print(f"  load {load}: behind one hour of work a job waits {bound:.1f} h at most")
    terms = RULES.model_copy(update={"half_life_s": 24 * RULES.ageing_s})
    cases: dict[str, tuple[dict[str, int], dict[str, int]]] = {
        "one and other, alike": ({"one": 12, "other": 12}, {"one": 24, "other": 24}),
        "one splits: machines in one half, work in both": (
            {"one": 12, "two": 0, "other": 12},
            {"one": 12, "two": 12, "other": 24},
        ),
        "one splits: machines in one half, all work in the other": (
            {"one": 12, "two": 0, "other": 12},
            {"one": 0, "two": 24, "other": 24},
        ),
        "one splits evenly": ({"one": 6, "two": 6, "other": 12}, {"one": 12, "two": 12, "other": 24}),
    }
    print("Slots held on average, all with more work than slots:")
    for title, (slots, demand) in cases.items():
        held = shares(slots, demand, terms, rounds=400)
        print(f"  {title}: " + ", ".join(f"{centre} {share:.1f}" for centre, share in held.items()))
    pooled = terms.model_copy(update={"home_first": False})
    held = shares({"one": 10, "two": 10, "rider": 1}, {"one": 20, "two": 20, "rider": 20}, pooled, rounds=400)
    print(
        "  without home first, a third gives a tenth: "
        + ", ".join(f"{c} {share:.1f}" for c, share in held.items())
    )


if __name__ == "__main__":
    main()

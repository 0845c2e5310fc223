"""The matching policy: one pure function, the same for the matcher, for the simulator of rules and for `explain`.

For a free slot at provider `p`:

0. Home first (where the rules say so): waiting work of `p` itself goes before all other work.
1. Else the waiting group, a centre's jobs of one work type, with the highest score; in it the oldest job:
   `score = (wait_s + τ) / τ x weight x G ** clamp(2 B/L - 1, -1, +1)`
2. A job that several providers could take goes to the one with the smallest `B/L`: who gave least so far gives next.

τ (`ageing_s`), the weights and `G` (`balance_factor`) are the agreed rules'. `B` is the centre's balance and `L` its credit
line in the resource class of the group, both from the ledger: `B` is what the centre gave to others minus what it used of
them, and the credit line is a part of what it gave.

What holds for every input (tests/matcher/matching/test_policy.py), and why:

* The balance factor stays within `1/G` and `G`.
* The floor `1/G` is where a newcomer stands, and whoever gave no more than it used. Leaving and returning under another name
  gains nothing, and circular trades gain nothing: they leave every `B` as it was and can only raise `L`. A rule that
  gave credit to a centre with `B = 0` because of what it once gave would give it to two centres that pass the
  same work to and fro.
* The score grows with wait and weight, and never falls when a centre gives more: `B` and `L` then grow by `v` and `k v` with
  `k <= 1`, which moves `B/L` up, or keeps it above 1.
* Nothing starves. With `R = weight_max / weight_min x G²`, a job that waits `t` is overtaken only by jobs that came within
  the first `(1 - 1/R) (t + τ)` seconds of its wait; see `longest_wait_s`.
* Names mean nothing: renaming centres renames the result. Equal scores share a place.
* Capacity that no job can use appears nowhere in the formula.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fallow.rules import Rules


class Standing(Protocol):
    """One centre in one resource class, as the ledger has it (`fallow_matcher.ledger.Standing`)."""

    @property
    def balance(self) -> float:
        """`B`: what it gave to others minus what it used of them."""

    @property
    def credit_line(self) -> float:
        """`L`: a part of what it gave to others; 0 for a newcomer."""


Standings = Mapping[tuple[str, str], Standing]
"""Standings by centre and resource class; whoever is not in it never gave or used anything."""


@dataclass(frozen=True)
class Group:
    """Waiting jobs of one centre, work type and resource class: what competes for a slot."""

    centre: str
    work_type: str
    resource_class: str
    wait_s: float
    """How long its oldest job has waited, in seconds."""
    jobs: int
    """How many jobs wait."""


@dataclass(frozen=True)
class Score:
    """A group's score and its three factors: `total = urgency x weight x balance`."""

    total: float
    urgency: float
    """`(wait_s + τ) / τ`: at least 1, without a ceiling."""
    weight: float
    """The work type's weight."""
    balance: float
    """The balance factor, between `1/G` and `G`."""


@dataclass(frozen=True)
class Ranked:
    """A group with its score and its place in the order, 1 first; equal scores share a place."""

    group: Group
    score: Score
    place: int


def balance_factor(standing: Standing | None, rules: Rules) -> float:
    """What a centre's balance does to its score: `1/G` for one that gave no more than it used, `G` from `B = L` on."""
    if standing is None or standing.credit_line <= 0:
        return 1 / rules.balance_factor
    exponent = 2 * standing.balance / standing.credit_line - 1
    return float(rules.balance_factor ** max(-1.0, min(1.0, exponent)))


def score(group: Group, standings: Standings, rules: Rules) -> Score:
    """The score of a waiting group."""
    urgency = (max(0.0, group.wait_s) + rules.ageing_s) / rules.ageing_s
    weight = rules.weight(group.work_type)
    balance = balance_factor(standings.get((group.centre, group.resource_class)), rules)
    return Score(total=urgency * weight * balance, urgency=urgency, weight=weight, balance=balance)


def order(
    groups: Iterable[Group], standings: Standings, rules: Rules, provider: str | None = None
) -> list[Ranked]:
    """The groups in the order in which a free slot goes to them.

    Args:
        groups: Waiting groups that the slot could serve.
        standings: From the ledger.
        rules: The rules in force.
        provider: Whose slot it is; without one the order among foreign groups.
    """

    def rank(entry: tuple[Group, Score]) -> tuple[bool, float]:
        group, its = entry
        return (rules.home_first and group.centre == provider, its.total)

    scored = sorted(((group, score(group, standings, rules)) for group in groups), key=rank, reverse=True)
    ranked: list[Ranked] = []
    for position, entry in enumerate(scored, start=1):
        shares = position > 1 and rank(entry) == rank(scored[position - 2])
        ranked.append(Ranked(*entry, place=ranked[-1].place if shares else position))
    return ranked


def giving_order(providers: Iterable[str], resource_class: str, standings: Standings) -> dict[str, int]:
    """The place of each provider among those that could take a foreign job, 1 first; equals share a place."""

    def given(provider: str) -> float:
        standing = standings.get((provider, resource_class))
        if standing is None or standing.credit_line <= 0:
            return 0.0 if standing is None else min(0.0, standing.balance)
        return standing.balance / standing.credit_line

    shares = {provider: given(provider) for provider in providers}
    return {provider: 1 + sum(other < own for other in shares.values()) for provider, own in shares.items()}


def worst_ratio(rules: Rules) -> float:
    """`R`: how much higher than another the score of a job can be that waited equally long."""
    weights = [each.weight for each in rules.work_types.values()]
    return max(weights) / min(weights) * rules.balance_factor**2


def longest_wait_s(rules: Rules, load: float, backlog_s: float) -> float:
    """How long a job waits at most, in seconds, on capacity that its owners leave to others.

    A job that came at 0 and waits at `t` is outranked by one that came at `a > 0` only if
    `t - a + τ > (t + τ) / R`, so what is served before it is the backlog it found, and what came until
    `(1 - 1/R) (t + τ)`. Hence `t + τ <= (backlog_s + τ) / (1 - load (1 - 1/R))`.

    Args:
        rules: The rules.
        load: Work that comes per second, as a share of what the capacity can do; below `1 / (1 - 1/R)`.
        backlog_s: What the job would wait if jobs were served as they came.
    """
    overtaken = load * (1 - 1 / worst_ratio(rules))
    return float("inf") if overtaken >= 1 else (backlog_s + rules.ageing_s) / (1 - overtaken) - rules.ageing_s

"""A ledger and a saturated pool in a few lines, to ask what the policy does to centres that trade."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fallow.rules import Rules
from fallow_matcher.ledger import credit_line
from fallow_matcher.matching.policy import Group, order

CPU = "cpu"


@dataclass(frozen=True)
class Place:
    """Where a centre stands."""

    balance: float
    credit_line: float


@dataclass(frozen=True)
class Trade:
    """`provider` ran work of `consumer`, worth `value` core-seconds."""

    provider: str
    consumer: str
    value: float


def standings(trades: Iterable[Trade], rules: Rules) -> dict[tuple[str, str], Place]:
    """The standings that follow from trades that nothing has decayed of."""
    balance: dict[str, float] = defaultdict(float)
    gave: dict[str, float] = defaultdict(float)
    for trade in trades:
        if trade.provider != trade.consumer:
            balance[trade.provider] += trade.value
            balance[trade.consumer] -= trade.value
            gave[trade.provider] += trade.value
    return {
        (centre, CPU): Place(balance[centre], credit_line(gave[centre], rules.credit_line))
        for centre in balance
    }


def shares(
    slots: Mapping[str, int],
    demand: Mapping[str, int],
    rules: Rules,
    *,
    rounds: int,
    joins_at: Mapping[str, int] | None = None,
) -> dict[str, float]:
    """The slots that each centre holds on average in the second half of a time in which all have more work than slots.

    Every round each slot runs one job to its end; each centre keeps as many jobs waiting as `demand` says.

    Args:
        slots: How many slots each centre offers.
        demand: How many jobs of each centre wait at any time.
        rules: The rules in force.
        rounds: How many rounds.
        joins_at: The round from which a centre's work is there; 0 for those that are not named.
    """
    round_s = rules.ageing_s / 4
    keeps = 0.5 ** (round_s / rules.half_life_s)
    balance: dict[str, float] = defaultdict(float)
    gave: dict[str, float] = defaultdict(float)
    waiting = {centre: [0.0] * count for centre, count in demand.items()}
    held: dict[str, int] = defaultdict(int)
    for number in range(rounds):
        now = number * round_s
        present = [centre for centre in demand if (joins_at or {}).get(centre, 0) <= number]
        free = [provider for provider, count in slots.items() for _ in range(count)]
        for provider in free:
            known = {
                (centre, CPU): Place(balance[centre], credit_line(gave[centre], rules.credit_line))
                for centre in present
            }
            groups = [
                Group(centre, "analysis", CPU, now - waiting[centre][0], len(waiting[centre]))
                for centre in present
                if waiting[centre]
            ]
            consumer = order(groups, known, rules, provider)[0].group.centre
            waiting[consumer] = [*waiting[consumer][1:], now]
            held[consumer] += number >= rounds // 2
            if consumer != provider:
                balance[provider] += round_s
                balance[consumer] -= round_s
                gave[provider] += round_s
        for centre in [*balance]:
            balance[centre] *= keeps
            gave[centre] *= keeps
    return {centre: held[centre] / (rounds - rounds // 2) for centre in demand}

"""The same work under several policies, side by side, and what cheating would bring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from pydantic import ConfigDict

from fallow.documented import Documented
from fallow.rules import Rules
from fallow_matcher.simulation.books import Books
from fallow_matcher.simulation.cheats import attempts
from fallow_matcher.simulation.engine import simulate
from fallow_matcher.simulation.metrics import Comparison, figures
from fallow_matcher.simulation.policies import ByRules, FairShare, FirstCome, Isolated, Policy, Renaming
from fallow_matcher.simulation.workload import Workload

ALONE = "isolated"
BUILT_IN = {
    ALONE: "every centre for itself, first come, first served",
    "first come": "one pool, first come, first served",
    "fair share": "one pool, HTCondor's default fair share between the centres",
    "home first": "a centre's own work first on its units, else first come, first served",
    "fallow": "the rules of a new federation",
    "take back": "as fallow, and a centre's own work ends strangers' jobs that are in its way",
}
"""The policies that can be compared, and what each is."""

Progress = Callable[[str, int], None]
"""Told now and then what is being simulated, and how many of its jobs have come."""


class Cheat(Documented):
    """What one strategy brings the centre that tries it."""

    model_config = ConfigDict(extra="forbid")

    policy: str
    centre: str
    strategy: str
    honest_s: float
    """How long its jobs take from their coming to their end, on average, if it is honest."""
    cheating_s: float
    """If it cheats."""
    gain: float | None
    """By what part they are done sooner for it; below 0 where cheating does not pay."""
    others: float | None
    """The worst of the other centres' mean waits beside theirs alone."""


class Study(Documented):
    """Everything that one call of `fallow simulate` found."""

    model_config = ConfigDict(extra="forbid")

    load: str
    """In words: what was simulated."""
    notes: list[str]
    """What was assumed."""
    seed: int
    mine: str | None
    """The centre that asks; None where nobody in particular does."""
    policies: list[Comparison]
    """Without the federation first."""
    cheats: list[Cheat]


def policy(name: str, rules: Rules) -> Policy:
    """A built-in policy by its name.

    Args:
        name: One of `BUILT_IN`.
        rules: Those that `fallow` and `take back` go by.
    """
    made: dict[str, Callable[[], Policy]] = {
        ALONE: Isolated,
        "first come": FirstCome,
        "fair share": FairShare,
        "home first": lambda: FirstCome(home_first=True),
        "fallow": lambda: ByRules(rules),
        "take back": lambda: ByRules(rules, takes_back=True),
    }
    return made[name]()


def compare(
    workload: Workload,
    names: Sequence[str],
    default: Rules,
    documents: Mapping[str, Rules],
    progress: Progress | None = None,
) -> list[Comparison]:
    """Simulate a workload under each policy; without the federation comes first and always.

    Args:
        workload: The work.
        names: Of `BUILT_IN`.
        default: The rules of a new federation.
        documents: Further rules by name.
        progress: Told how far it is.
    """
    alone, left_out = _alone(workload, default, progress)
    found = [alone]
    for name in names:
        if name != ALONE:
            found.append(_one(workload, name, policy(name, default), default, alone, progress, left_out))
    for name, rules in documents.items():
        found.append(_one(workload, name, ByRules(rules), rules, alone, progress, left_out))
    return found


def _alone(workload: Workload, rules: Rules, progress: Progress | None) -> tuple[Comparison, frozenset[int]]:
    books = Books(rules)
    result = simulate(workload, Isolated(), books, partial(progress, ALONE) if progress else None)
    return figures(ALONE, workload, result, books, None), frozenset(map(id, result.unserved))


def cheating(
    workload: Workload,
    centre: str,
    honest: Comparison,
    alone: Comparison,
    rules: Rules,
    progress: Progress | None = None,
) -> list[Cheat]:
    """What each strategy brings a centre under rules.

    Args:
        workload: The work if everybody is honest.
        centre: The cheater.
        honest: What the rules do then.
        alone: The same without the federation.
        rules: The rules.
        progress: Told how far it is.
    """
    before = next(each for each in honest.centres if each.centre == centre)
    waits_alone = {each.centre: each.mean_wait_s for each in alone.centres}
    found = []
    for attempt in attempts(workload, centre):
        which = Renaming(rules, centre, attempt.renamed) if attempt.renamed else ByRules(rules)
        told = _one(attempt.workload, attempt.strategy, which, rules, None, progress)
        own = [each for each in told.centres if each.centre in attempt.names]
        jobs = sum(each.jobs for each in own)
        done_s = sum(each.mean_done_s * each.jobs for each in own) / jobs if jobs else 0.0
        others = [
            each.mean_wait_s / waits_alone[each.centre]
            for each in told.centres
            if each.centre not in attempt.names and waits_alone.get(each.centre)
        ]
        found.append(
            Cheat(
                policy=honest.policy,
                centre=centre,
                strategy=attempt.strategy,
                honest_s=before.mean_done_s,
                cheating_s=done_s,
                gain=1 - done_s / before.mean_done_s if before.mean_done_s else None,
                others=max(others, default=None),
            )
        )
    return found


def _one(
    workload: Workload,
    name: str,
    which: Policy,
    rules: Rules,
    alone: Comparison | None,
    progress: Progress | None,
    left_out: frozenset[int] = frozenset(),
) -> Comparison:
    books = Books(rules)
    result = simulate(workload, which, books, partial(progress, name) if progress else None)
    return figures(name, workload, result, books, alone, left_out)

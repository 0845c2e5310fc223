"""The same work under two sets of rules."""

from __future__ import annotations

from fallow.rules import Rules, parse_rules
from fallow.rules.messages import Outcome
from fallow_matcher.simulation.books import Books
from fallow_matcher.simulation.engine import simulate
from fallow_matcher.simulation.policies import ByRules, Isolated, Policy
from fallow_matcher.simulation.summary import summarise
from fallow_matcher.simulation.workload import Workload


def under(document: str, workload: Workload) -> list[Outcome]:
    """What becomes of each centre's jobs under the rules of a document.

    Raises:
        SettingsError: The document is no valid rules.
    """
    rules = parse_rules(document)
    return _outcomes(workload, ByRules(rules), rules)


def alone(document: str, workload: Workload) -> list[Outcome]:
    """What would become of each centre's jobs on its own machines alone; a job that these cannot run is left out.

    Raises:
        SettingsError: The document is no valid rules.
    """
    return _outcomes(workload, Isolated(), parse_rules(document))


def _outcomes(workload: Workload, policy: Policy, rules: Rules) -> list[Outcome]:
    books = Books(rules)
    return summarise(simulate(workload, policy, books).runs, books, workload.centres)

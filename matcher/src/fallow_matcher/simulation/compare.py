"""The same work under two sets of rules."""

from __future__ import annotations

from fallow.rules import parse_rules
from fallow.rules.messages import Outcome
from fallow_matcher.simulation.books import Books
from fallow_matcher.simulation.engine import simulate
from fallow_matcher.simulation.policies import ByRules
from fallow_matcher.simulation.summary import summarise
from fallow_matcher.simulation.workload import Workload


def under(document: str, workload: Workload) -> list[Outcome]:
    """What becomes of each centre's jobs under the rules of a document.

    Raises:
        SettingsError: The document is no valid rules.
    """
    rules = parse_rules(document)
    books = Books(rules)
    return summarise(simulate(workload, ByRules(rules), books).runs, books, workload.centres)

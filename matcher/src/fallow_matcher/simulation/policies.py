"""The ways to give out free units that a simulation can compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fallow.rules import Rules
from fallow_matcher.matching.policy import Group, giving_order, order
from fallow_matcher.simulation.books import Books


class Policy(Protocol):
    """Decides as the matcher does: which group takes a free unit, and which provider a job."""

    def choose(self, groups: Sequence[Group], provider: str, books: Books) -> Group | None:
        """The group whose oldest job takes free units of `provider`, or None."""

    def places(self, group: Group, providers: Sequence[str], books: Books) -> Sequence[str]:
        """Those of `providers`, all with room, that the group's oldest job may go to, the best first."""


class ByRules:
    """Fallow's policy under given rules: the matcher's own function.

    Args:
        rules: The rules.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def choose(self, groups: Sequence[Group], provider: str, books: Books) -> Group | None:
        """The group of the highest place; among equals the one whose oldest job came first."""
        ranked = order(groups, books, self._rules, provider)
        best = [each.group for each in ranked if each.place == 1]
        return max(best, key=lambda group: group.wait_s) if best else None

    def places(self, group: Group, providers: Sequence[str], books: Books) -> Sequence[str]:
        """Its own centre, then whoever gave least so far."""
        given = giving_order(providers, group.resource_class, books)
        return sorted(providers, key=lambda provider: (provider != group.centre, given[provider], provider))


class FirstCome:
    """One pool, first come, first served."""

    def choose(self, groups: Sequence[Group], provider: str, books: Books) -> Group | None:  # noqa: ARG002
        """The group whose oldest job came first."""
        return max(groups, key=lambda group: group.wait_s, default=None)

    def places(self, group: Group, providers: Sequence[str], books: Books) -> Sequence[str]:  # noqa: ARG002
        """Its own centre, then any."""
        return sorted(providers, key=lambda provider: (provider != group.centre, provider))


class Isolated:
    """No federation: every centre for itself, first come, first served."""

    def choose(self, groups: Sequence[Group], provider: str, books: Books) -> Group | None:  # noqa: ARG002
        """The provider's own group whose oldest job came first."""
        own = (group for group in groups if group.centre == provider)
        return max(own, key=lambda group: group.wait_s, default=None)

    def places(self, group: Group, providers: Sequence[str], books: Books) -> Sequence[str]:  # noqa: ARG002
        """Its own centre."""
        return [provider for provider in providers if provider == group.centre]

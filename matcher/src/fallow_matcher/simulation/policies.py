"""The ways to give out free units that a simulation can compare."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Protocol

from fallow.rules import Rules
from fallow_matcher.matching.policy import Group, giving_order, order
from fallow_matcher.simulation.books import Books
from fallow_matcher.simulation.workload import Job


class Policy(Protocol):
    """Decides as the matcher does: which group takes a free unit, and which provider a job."""

    takes_back: bool
    """Whether a centre's own job ends strangers' jobs that are in its way."""

    def choose(self, groups: Sequence[Group], provider: str, books: Books) -> Group | None:
        """The group whose oldest job takes free units of `provider`, or None."""

    def places(self, group: Group, providers: Sequence[str], books: Books) -> Sequence[str]:
        """Those of `providers`, all with room, that the group's oldest job may go to, the best first."""

    def started(self, job: Job, now_s: float) -> None:
        """A job starts."""

    def ended(self, job: Job, now_s: float) -> None:
        """A job ends or loses its place."""


class ByRules:
    """Fallow's policy under given rules: the matcher's own function.

    Args:
        rules: The rules.
        takes_back: Whether a centre's own job ends strangers' jobs that are in its way; HTCondor is not told to.
    """

    def __init__(self, rules: Rules, *, takes_back: bool = False) -> None:
        self._rules = rules
        self.takes_back = takes_back

    def choose(self, groups: Sequence[Group], provider: str, books: Books) -> Group | None:
        """The group of the highest place; among equals the one whose oldest job came first."""
        if len(groups) == 1:
            return groups[0]
        ranked = order(groups, books, self._rules, provider)
        best = [each.group for each in ranked if each.place == 1]
        return max(best, key=lambda group: group.wait_s) if best else None

    def places(self, group: Group, providers: Sequence[str], books: Books) -> Sequence[str]:
        """Its own centre, then whoever gave least so far."""
        if len(providers) == 1 or group.centre in providers:
            return [group.centre] if group.centre in providers else providers
        given = giving_order(providers, group.resource_class, books)
        return sorted(providers, key=lambda provider: (given[provider], provider))

    def started(self, job: Job, now_s: float) -> None:
        """Nothing to remember: the books have it."""

    def ended(self, job: Job, now_s: float) -> None:
        """Nothing to remember."""


class Renaming(ByRules):
    """As `ByRules`, while one centre leaves now and then and comes back as one that nobody knows.

    Its jobs and machines come along, so that its name is all that changes; what runs then is settled with the new name.

    Args:
        rules: The rules.
        centre: The centre.
        moments: When it comes back, in the order of time.
    """

    def __init__(self, rules: Rules, centre: str, moments: Sequence[float]) -> None:
        super().__init__(rules)
        self._centre = centre
        self._moments = deque(moments)

    def choose(self, groups: Sequence[Group], provider: str, books: Books) -> Group | None:
        """As `ByRules`."""
        self._rename(books)
        return super().choose(groups, provider, books)

    def places(self, group: Group, providers: Sequence[str], books: Books) -> Sequence[str]:
        """As `ByRules`."""
        self._rename(books)
        return super().places(group, providers, books)

    def _rename(self, books: Books) -> None:
        while self._moments and self._moments[0] <= books.now_s:
            self._moments.popleft()
            books.forget(self._centre)


class FirstCome:
    """One pool, first come, first served.

    Args:
        home_first: Whether a centre's own jobs go first on its units.
    """

    takes_back = False

    def __init__(self, *, home_first: bool = False) -> None:
        self._home_first = home_first

    def choose(self, groups: Sequence[Group], provider: str, books: Books) -> Group | None:  # noqa: ARG002
        """The group whose oldest job came first."""
        if self._home_first:
            groups = [group for group in groups if group.centre == provider] or groups
        return max(groups, key=lambda group: group.wait_s, default=None)

    def places(self, group: Group, providers: Sequence[str], books: Books) -> Sequence[str]:  # noqa: ARG002
        """Its own centre, then any."""
        return sorted(providers, key=lambda provider: (provider != group.centre, provider))

    def started(self, job: Job, now_s: float) -> None:
        """Nothing to remember."""

    def ended(self, job: Job, now_s: float) -> None:
        """Nothing to remember."""


class Isolated(FirstCome):
    """No federation: every centre for itself, first come, first served."""

    def choose(self, groups: Sequence[Group], provider: str, books: Books) -> Group | None:
        """The provider's own group whose oldest job came first."""
        return super().choose([group for group in groups if group.centre == provider], provider, books)

    def places(self, group: Group, providers: Sequence[str], books: Books) -> Sequence[str]:  # noqa: ARG002
        """Its own centre."""
        return [provider for provider in providers if provider == group.centre]


class FairShare(FirstCome):
    """HTCondor as it comes, each centre one submitter: free units go to the lowest effective priority.

    A submitter's real priority moves towards what it holds with a half-life of a day and is at least 0.5 (*User priorities
    and negotiation* in HTCondor's manual); all have one factor. Left out: slices of the pie within a cycle, and claims that
    are used again.
    """

    half_life_s = 86_400.0

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[tuple[str, str], int] = defaultdict(int)
        self._real: dict[tuple[str, str], tuple[float, float]] = {}

    def choose(self, groups: Sequence[Group], provider: str, books: Books) -> Group | None:  # noqa: ARG002
        """The group of the centre that used least lately; of equals the one whose oldest job came first."""

        def rank(group: Group) -> tuple[float, float]:
            key = (group.centre, group.resource_class)
            return max(0.5, self._priority(key, books.now_s)), -group.wait_s

        return min(groups, key=rank, default=None)

    def started(self, job: Job, now_s: float) -> None:
        """Its centre holds more from now on."""
        self._hold(job, now_s, job.units)

    def ended(self, job: Job, now_s: float) -> None:
        """Its centre holds less from now on."""
        self._hold(job, now_s, -job.units)

    def _priority(self, key: tuple[str, str], now_s: float) -> float:
        real, at_s = self._real.get(key, (0.5, now_s))
        kept = 2 ** ((at_s - now_s) / self.half_life_s)
        return real * kept + self._held[key] * (1 - kept)

    def _hold(self, job: Job, now_s: float, units: int) -> None:
        key = (job.centre, job.resource_class)
        self._real[key] = (self._priority(key, now_s), now_s)
        self._held[key] += units

"""The balances in a simulation: charged and settled by the same terms as the ledger's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fallow.rules import Rules
from fallow_matcher.ledger.standing import credit_line
from fallow_matcher.simulation.workload import Job


@dataclass(slots=True)
class Account:
    """One centre in one resource class; a `Standing` for the policy."""

    balance: float = 0.0
    contributed: float = 0.0
    credit_line: float = 0.0
    at_s: float = 0.0


class Books(Mapping[tuple[str, str], Account]):
    """Standings by centre and resource class, as they are at `now_s`.

    Args:
        rules: Half-life, credit line and benchmark factors.
    """

    def __init__(self, rules: Rules) -> None:
        self.now_s = 0.0
        self._half_life_s = rules.half_life_s
        self._share = rules.credit_line
        self._factor = rules.benchmark_factor
        self._accounts: dict[tuple[str, str], Account] = {}

    def __getitem__(self, key: tuple[str, str]) -> Account:
        account = self._accounts[key]
        if account.at_s != self.now_s:
            kept = 2 ** ((account.at_s - self.now_s) / self._half_life_s)
            account.balance *= kept
            account.contributed *= kept
            account.credit_line *= kept
            account.at_s = self.now_s
        return account

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._accounts)

    def __len__(self) -> int:
        return len(self._accounts)

    def charge(self, job: Job, provider: str) -> None:
        """A job starts at `provider`: its centre owes what it asked for."""
        if provider != job.centre:
            self._move(job, provider, job.units * job.requested_s * self._factor(provider))

    def settle(self, job: Job, provider: str, ran_s: float) -> None:
        """A job that ran for `ran_s` ends now: what it asked for is replaced by what it used."""
        if provider == job.centre:
            return
        used = job.units * self._factor(provider) * min(ran_s, job.requested_s)
        self._move(job, provider, used - self._still_charged(job, provider, ran_s))
        self._gave(provider, job.resource_class, used)

    def void(self, job: Job, provider: str, ran_s: float) -> None:
        """A job loses its place after `ran_s`: the provider did not hold out, and nobody owes anything."""
        if provider != job.centre:
            self._move(job, provider, -self._still_charged(job, provider, ran_s))

    def enter(self, provider: str, consumer: str, resource_class: str, value: float) -> None:
        """Something that one centre gave another before the simulation begins.

        Args:
            provider: Who gave.
            consumer: Who used it.
            resource_class: Of what.
            value: In unit-seconds, benchmark-weighted.
        """
        job = Job(consumer, 0.0, value, value, resource_class=resource_class)
        self._move(job, provider, value)
        self._gave(provider, resource_class, value)

    def forget(self, centre: str) -> None:
        """A centre is known under another name from now on, and what it gave and used under the old one is not its own."""
        for key in [key for key in self._accounts if key[0] == centre]:
            del self._accounts[key]

    def _still_charged(self, job: Job, provider: str, ran_s: float) -> float:
        return job.units * self._factor(provider) * job.requested_s * 2 ** (-ran_s / self._half_life_s)

    def _move(self, job: Job, provider: str, value: float) -> None:
        for centre, amount in ((provider, value), (job.centre, -value)):
            key = (centre, job.resource_class)
            if key not in self._accounts:
                self._accounts[key] = Account(at_s=self.now_s)
            self[key].balance += amount

    def _gave(self, provider: str, resource_class: str, value: float) -> None:
        giver = self[provider, resource_class]
        giver.contributed += value
        giver.credit_line = credit_line(giver.contributed, self._share)

"""Under whose accounts pilots run, where a centre wants one account for each person."""

from typing import Annotated, Optional

from pydantic import StringConstraints, model_validator

from fallow.settings import Settings
from fallow_pilots.policy.words import Word

PLACE = "{account}"

AccountName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_.-]{0,31}$")]
"""A person's account: it can never look like an option."""

Argument = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,200}$")]
"""One word of a command."""


class Person(Settings):
    """Somebody under whose account pilots run, from that person's consent on until it is revoked."""

    account: AccountName
    """The person's account on the launcher's host and on the nodes."""
    batch_account: Optional[Word] = None
    """The account or project code that pilots of this person are charged to; none: `batch.account`."""


class Accounts(Settings):
    """Under whose accounts pilots run; without people, all run under the launcher's own."""

    people: tuple[Person, ...] = ()
    """Who may lend an account. Each of them consents with `fallow pilot consent`, or nothing runs there."""
    become: tuple[Argument, ...] = ()
    """The command that runs another one under a person's account, with `{account}` for the person, e.g.
    `["sudo", "-n", "-u", "{account}", "--"]` or `["ssh", "-o", "BatchMode=yes", "{account}@localhost"]`. What it has to
    run is `fallow-pilot-deputy` and nothing else."""
    launcher_too: bool = False
    """Whether pilots run under the launcher's own account as well."""

    @model_validator(mode="after")
    def _people_can_be_become(self) -> "Accounts":
        if self.people and not any(PLACE in word for word in self.become):
            raise ValueError(f"accounts.people contradicts accounts.become: it has no {PLACE}")
        names = [person.account for person in self.people]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"accounts.people names {', '.join(twice)} more than once")
        return self

    @property
    def names(self) -> "tuple[Optional[str], ...]":
        """The accounts that may have pilots; None is the launcher's own."""
        people = tuple(person.account for person in self.people)
        return people if people and not self.launcher_too else (None, *people)

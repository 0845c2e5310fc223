"""What each centre gave and used, decayed to a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Engine


class Terms(Protocol):
    """What of the agreed rules the ledger needs (`fallow.rules.Rules` has it)."""

    @property
    def half_life_s(self) -> float:
        """Seconds in which what was given and used loses half of its weight."""

    @property
    def credit_line(self) -> float:
        """The credit line as a part of what a centre contributes in a half-life."""


@dataclass(frozen=True)
class Standing:
    """One centre in one resource class, in core-seconds (GPU-seconds), benchmark-weighted."""

    balance: float
    """What it gave to others minus what it used of others: `B`. The sum over all centres is zero."""
    contributed: float
    """What it gave to others, measured and settled."""
    credit_line: float
    """`L`: a part of what it contributes in a half-life; 0 for a newcomer."""


def standings(engine: Engine, now: float, rules: Terms) -> Mapping[tuple[str, str], Standing]:
    """The standing of every centre that ever gave or used, by centre and resource class.

    Args:
        engine: The hub's database.
        now: The moment that everything decays to, unix time.
        rules: Half-life and credit line.
    """
    raise NotImplementedError

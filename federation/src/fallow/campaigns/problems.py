"""What is wrong with a table: the first problems with their places, and how many there are in all."""

from __future__ import annotations

from dataclasses import dataclass, field

from fallow.errors import UsageError

SHOWN = 10


@dataclass
class Problems:
    """Collects problems; keeps the first ones only, so that a million bad rows cost nothing."""

    source: str
    shown: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, line: int, what: str) -> None:
        """One problem in a line, counted from 1."""
        self.count += 1
        if len(self.shown) < SHOWN:
            self.shown.append(f"line {line}: {what}")

    def require_none(self) -> None:
        """Return if there is none.

        Raises:
            UsageError: Names the first problems.
        """
        if not self.count:
            return
        more = f" … and {self.count - len(self.shown)} more" if self.count > len(self.shown) else ""
        raise UsageError(
            f"{self.source}: {self.count} problems: {'; '.join(self.shown)}{more}.",
            remedy="Nothing was injected; mend the table.",
        )

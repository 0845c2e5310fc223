"""The ledger: who gave, who used, how it was measured, and what it is worth."""

from fallow_matcher.ledger.standing import Standing, standings

__all__ = ["Standing", "standings"]

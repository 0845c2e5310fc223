"""The ledger: who gave, who used, how it was measured, and what it is worth."""

from fallow_matcher.ledger.ingest import Ingested, ingest
from fallow_matcher.ledger.run import ATTRIBUTES, RUNNING, Outcome, Run
from fallow_matcher.ledger.standing import Standing, credit_line, standings

__all__ = [
    "ATTRIBUTES",
    "RUNNING",
    "Ingested",
    "Outcome",
    "Run",
    "Standing",
    "credit_line",
    "ingest",
    "standings",
]

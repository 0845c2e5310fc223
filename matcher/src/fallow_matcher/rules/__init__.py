"""The agreed rules at the hub: kept, voted on, in force."""

from fallow_matcher.rules.force import InForce, current, history, in_force
from fallow_matcher.rules.voting import VoteError, approve, propose, settle

__all__ = ["InForce", "VoteError", "approve", "current", "history", "in_force", "propose", "settle"]

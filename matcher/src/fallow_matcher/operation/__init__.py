"""What an operator does with a whole hub: begin, run, look at, back up, restore, upgrade."""

ACTIONS = ("hold", "release", "remove")
"""What the operator can do to anybody's jobs."""

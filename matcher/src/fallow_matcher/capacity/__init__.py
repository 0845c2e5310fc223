"""Capacity: the offers of the centres, and what was offered, running and used over time."""

"""Campaigns at the hub: rows that wait in its database become jobs of their owner, each once."""

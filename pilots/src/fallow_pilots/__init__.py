"""Starts and runs Fallow pilots in the spare capacity of one centre."""

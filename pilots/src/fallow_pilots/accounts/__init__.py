"""Pilots under the accounts of people who consented; see docs/explanation/decisions/0015-one-account-per-person.md."""

"""The hub's database: what every part of the hub that keeps records stores them with.

`open_database` gives an engine whose schema is the newest. Work is done in one of two transactions: `reading` sees one
state of the database and holds nobody up; `writing` is alone from its first statement, so that it never fails half-way
because another writer was quicker.
"""

from fallow_matcher.database.engine import Base, open_database, reading, writing

__all__ = ["Base", "open_database", "reading", "writing"]

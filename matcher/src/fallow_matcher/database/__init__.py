"""The hub's database: what every part of the hub that keeps records stores them with.

`open_database` gives an engine whose schema is the newest, `attach_database` one that is left as it is. Work is done in
one of two transactions: `reading` sees one state of the database and holds nobody up; `writing` is alone from its first
statement, so that it never fails half-way because another writer was quicker; `alone` has those of PostgreSQL take turns.
"""

from fallow_matcher.database.engine import Base, alone, attach_database, open_database, reading, writing

__all__ = ["Base", "alone", "attach_database", "open_database", "reading", "writing"]

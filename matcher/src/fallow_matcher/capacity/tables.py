"""The tables of offers and of capacity over time."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Integer, String, Table, Text

from fallow_matcher.database import Base

MEASURES = (
    "pilots_offered", "pilots_running", "cores_offered", "cores_running", "cores_used",
    "gpus_offered", "gpus_running", "gpus_used",
)  # fmt: skip
"""What a point says; each is a mean over the point's samples."""

OFFER = Table(
    "offer",
    Base.metadata,
    Column("centre", String(63), primary_key=True),
    Column("document", Text, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("change", Text, nullable=False),
)
"""The latest offer of each centre, and when (unix time) and how it last became another one."""

POINT = Table(
    "capacity_point",
    Base.metadata,
    Column("span_s", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("centre", String(63), primary_key=True),
    Column("samples", Integer, nullable=False),
    *(Column(name, Float, nullable=False) for name in MEASURES),
)
"""One centre from `at` (unix time, a multiple of `span_s`) for `span_s` seconds."""

REQUEST = Table(
    "capacity_request",
    Base.metadata,
    Column("centre", String(63), primary_key=True),
    Column("wanted", String(16), nullable=False),
    Column("why", String(300), nullable=False),
    Column("asked_by", String(127), nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""The last request of an admin to the own centre; `at` is unix time."""

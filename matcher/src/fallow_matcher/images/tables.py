"""The tables of images. Moments are unix seconds of the hub's clock; the migrations make them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Integer, String, Table, Text

from fallow_matcher.database import Base

_NUMBER = BigInteger().with_variant(Integer, "sqlite")

IMAGE = Table(
    "image",
    Base.metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("digest", String(71), nullable=False),
    Column("centre", String(63), nullable=False),
    Column("user", String(63), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created", Double, nullable=False),
    Column("statement", Text, nullable=False),
)
"""One person's word on one image; nobody can change another's."""

TAG = Table(
    "image_tag",
    Base.metadata,
    Column("owner", String(127), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("tag", String(64), primary_key=True),
    Column("digest", String(71), nullable=False),
    Column("set_by", String(127), nullable=False),
    Column("changed", Double, nullable=False),
)

"""The ledger's tables. Moments are unix seconds of the hub's clock; the migrations make them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Integer, String, Table, Text

from fallow_matcher.database import Base

RUN = Table(
    "job_run",
    Base.metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("global_job_id", String, nullable=False),
    Column("run", Integer, nullable=False),
    Column("job", String, nullable=False),
    Column("provider", String, nullable=False),
    Column("pilot", String, nullable=False),
    Column("consumer", String, nullable=False),
    Column("user", String, nullable=False),
    Column("work_type", String, nullable=False),
    Column("resource_class", String, nullable=False),
    Column("cores", Integer, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("factor", Double, nullable=False),
    Column("requested_s", Integer, nullable=False),
    Column("submitted", Double),
    Column("started", Double, nullable=False),
    Column("ended", Double),
    Column("wall_s", Double),
    Column("cpu_s", Double),
    Column("outcome", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("value", Double, nullable=False),
    Column("valued_at", Double, nullable=False),
)
"""One run of one job, named by HTCondor's `GlobalJobId` and the number of the match that it ran on."""

STANDING = Table(
    "standing",
    Base.metadata,
    Column("centre", String, primary_key=True),
    Column("resource_class", String, primary_key=True),
    Column("balance", Double, nullable=False),
    Column("contributed", Double, nullable=False),
)
"""What follows from all runs, summed up on the scale of `EPOCH`."""

EPOCH = Table(
    "standing_epoch",
    Base.metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("half_life_s", Double, nullable=False),
    Column("latest", Double, nullable=False),
)
"""One row: the moment and the half-life that the sums stand for, and the latest moment at which they were changed."""

POSITION = Table(
    "history_position",
    Base.metadata,
    Column("history", String, primary_key=True),
    Column("device", BigInteger, primary_key=True),
    Column("inode", BigInteger, primary_key=True),
    Column("tail", String, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("read_at", Double, nullable=False),
)
"""How far each file of HTCondor's history has been read, whatever its name is by now."""

REPORT = Table(
    "pilot_report",
    Base.metadata,
    Column("pilot", String, primary_key=True),
    Column("centre", String, nullable=False),
    Column("started", Double, nullable=False),
    Column("ended", Double),
    Column("code", Integer),
    Column("reason", String, nullable=False),
    Column("offered_core_s", Double, nullable=False),
    Column("used_core_s", Double, nullable=False),
    Column("idle_core_s", Double, nullable=False),
    Column("written", Double, nullable=False),
    Column("document", Text, nullable=False),
)
"""The latest report of each pilot."""

PILOT_RUN = Table(
    "pilot_run",
    Base.metadata,
    Column("pilot", String, primary_key=True),
    Column("global_job_id", String, primary_key=True),
    Column("started", Double, primary_key=True),
    Column("ended", Double, nullable=False),
    Column("cores", Integer, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("outcome", String, nullable=False),
)
"""One run of one job as its pilot saw it; kept also when a later report lists it no more."""

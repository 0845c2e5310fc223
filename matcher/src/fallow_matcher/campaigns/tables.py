"""The tables of campaigns. Moments are unix seconds of the hub's clock; the migrations make them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, LargeBinary, String, Table, Text

from fallow_matcher.database import Base

_NUMBER = BigInteger().with_variant(Integer, "sqlite")

CAMPAIGN = Table(
    "campaign",
    Base.metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("centre", String(63), nullable=False),
    Column("user", String(63), nullable=False),
    Column("name", String(63), nullable=False),
    Column("digest", String, nullable=False),
    Column("plan", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("retried", Integer, nullable=False),
    Column("judged_from", Double, nullable=False),
    Column("work_types", String, nullable=False),
    Column("iss", String, nullable=False),
    Column("jti", String, nullable=False),
    Column("created", Double, nullable=False),
    Column("changed", Double, nullable=False),
)
"""One campaign; `digest` is that of what was injected, `plan` what `set` has made of it, `revision` counts these changes."""

ROW = Table(
    "campaign_row",
    Base.metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("campaign", _NUMBER, nullable=False),
    Column("stage", Integer, nullable=False),
    Column("row_id", String(200), nullable=False),
    Column("cells", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("own_failures", Integer, nullable=False),
    Column("node_failures", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("recalled", Integer, nullable=False),
    Column("job", String, nullable=False),
    Column("avoid", String, nullable=False),
    Column("centre", String(63), nullable=False),
    Column("failure", String(16), nullable=False),
    Column("signature", String(200), nullable=False),
    Column("exit_code", Integer),
    Column("reason", String, nullable=False),
    Column("outputs", Text, nullable=False),
    Column("ended", Double),
    Column("wall_s", Double),
)
"""One row of one stage. What its last attempt came to stays until the next one comes to something."""

LOG = Table(
    "campaign_log",
    Base.metadata,
    Column("row", _NUMBER, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("stdout", LargeBinary, nullable=False),
    Column("stderr", LargeBinary, nullable=False),
    Column("truncated", Boolean, nullable=False),
)
"""The end of what an attempt wrote, compressed by zlib."""

NEW_ROW = {
    "attempt": 0,
    "own_failures": 0,
    "node_failures": 0,
    "revision": 0,
    "recalled": 0,
    "job": "",
    "avoid": "",
    "centre": "",
    "failure": "",
    "signature": "",
    "exit_code": None,
    "reason": "",
    "outputs": "[]",
    "ended": None,
    "wall_s": None,
}
"""What a row is that nothing has become of yet."""

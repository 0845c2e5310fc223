"""Campaigns: what was injected, what became of every row, and what it wrote."""

import sqlalchemy as sa
from alembic import op

revision = "0004_campaigns"
down_revision = "0003_capacity"


def upgrade() -> None:
    """Make the tables."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "campaign",
        sa.Column("id", number, primary_key=True),
        sa.Column("centre", sa.String(63), nullable=False),
        sa.Column("user", sa.String(63), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("retried", sa.Integer, nullable=False),
        sa.Column("judged_from", sa.Double, nullable=False),
        sa.Column("work_types", sa.String, nullable=False),
        sa.Column("iss", sa.String, nullable=False),
        sa.Column("jti", sa.String, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("changed", sa.Double, nullable=False),
        sa.UniqueConstraint("centre", "name", name="uq_campaign_centre"),
    )
    op.create_table(
        "campaign_row",
        sa.Column("id", number, primary_key=True),
        sa.Column("campaign", number, nullable=False),
        sa.Column("stage", sa.Integer, nullable=False),
        sa.Column("row_id", sa.String(200), nullable=False),
        sa.Column("cells", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("own_failures", sa.Integer, nullable=False),
        sa.Column("node_failures", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("recalled", sa.Integer, nullable=False),
        sa.Column("job", sa.String, nullable=False),
        sa.Column("avoid", sa.String, nullable=False),
        sa.Column("centre", sa.String(63), nullable=False),
        sa.Column("failure", sa.String(16), nullable=False),
        sa.Column("signature", sa.String(200), nullable=False),
        sa.Column("exit_code", sa.Integer),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("outputs", sa.Text, nullable=False),
        sa.Column("ended", sa.Double),
        sa.Column("wall_s", sa.Double),
        sa.UniqueConstraint("campaign", "stage", "row_id", name="uq_campaign_row_campaign"),
    )
    op.create_index(
        "ix_campaign_row_state",
        "campaign_row",
        ["campaign", "state", "stage", "centre", "failure", "signature", "id"],
    )
    op.create_index(
        "ix_campaign_row_ended",
        "campaign_row",
        ["campaign", "ended"],
        sqlite_where=sa.text("ended IS NOT NULL"),
        postgresql_where=sa.text("ended IS NOT NULL"),
    )
    op.create_table(
        "campaign_log",
        sa.Column("row", number, primary_key=True, autoincrement=False),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("stdout", sa.LargeBinary, nullable=False),
        sa.Column("stderr", sa.LargeBinary, nullable=False),
        sa.Column("truncated", sa.Boolean, nullable=False),
    )

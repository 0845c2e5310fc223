"""The centres' offers, and what was offered and used over time."""

import sqlalchemy as sa
from alembic import op

revision = "0003_capacity"
down_revision = "0002_rules"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "offer",
        sa.Column("centre", sa.String(63), primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("change", sa.Text, nullable=False),
    )
    op.create_table(
        "capacity_point",
        sa.Column("span_s", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("centre", sa.String(63), primary_key=True),
        sa.Column("samples", sa.Integer, nullable=False),
        *(
            sa.Column(name, sa.Float, nullable=False)
            for name in (
                "pilots_offered", "pilots_running", "cores_offered", "cores_running", "cores_used",
                "gpus_offered", "gpus_running", "gpus_used",
            )
        ),
    )  # fmt: skip

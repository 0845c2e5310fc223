"""The history of the agreed rules, and where it ends."""

import sqlalchemy as sa
from alembic import op

revision = "0002_rules"
down_revision = "0001_ledger"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "rules_entry",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("hash", sa.String(71), nullable=False),
    )
    op.create_table(
        "rules_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("hash", sa.String(71), nullable=False),
    )

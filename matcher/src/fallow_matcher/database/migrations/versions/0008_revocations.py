"""The last word of either of two hubs on each centre or token."""

import sqlalchemy as sa
from alembic import op

revision = "0008_revocations"
down_revision = "0007_sessions"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "revocation",
        sa.Column("kind", sa.String(6), primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("revoked", sa.Boolean, nullable=False),
        sa.Column("changed", sa.Double, nullable=False),
    )

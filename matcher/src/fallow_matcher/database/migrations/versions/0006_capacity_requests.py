"""What admins ask of their centres."""

import sqlalchemy as sa
from alembic import op

revision = "0006_capacity_requests"
down_revision = "0005_images"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "capacity_request",
        sa.Column("centre", sa.String(63), primary_key=True),
        sa.Column("wanted", sa.String(16), nullable=False),
        sa.Column("why", sa.String(300), nullable=False),
        sa.Column("asked_by", sa.String(127), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )

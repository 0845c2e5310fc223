"""Who is logged in at the page."""

import sqlalchemy as sa
from alembic import op

revision = "0007_sessions"
down_revision = "0006_capacity_requests"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "page_session",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_page_session_expires", "page_session", ["expires"])

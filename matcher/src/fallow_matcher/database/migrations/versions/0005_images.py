"""Images: what their publishers say of them, and tags."""

import sqlalchemy as sa
from alembic import op

revision = "0005_images"
down_revision = "0004_campaigns"


def upgrade() -> None:
    """Make the tables."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "image",
        sa.Column("id", number, primary_key=True),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("centre", sa.String(63), nullable=False),
        sa.Column("user", sa.String(63), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("statement", sa.Text, nullable=False),
        sa.UniqueConstraint("digest", "centre", "user", name="uq_image_digest"),
    )
    op.create_table(
        "image_tag",
        sa.Column("owner", sa.String(127), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("tag", sa.String(64), primary_key=True),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("set_by", sa.String(127), nullable=False),
        sa.Column("changed", sa.Double, nullable=False),
    )
    op.create_index("ix_image_tag_digest", "image_tag", ["digest"])

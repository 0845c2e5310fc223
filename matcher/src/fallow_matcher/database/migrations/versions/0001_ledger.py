"""The ledger: runs of jobs as the hub saw them, pilots as they reported, sums that decay, positions in history files."""

import sqlalchemy as sa
from alembic import op

revision = "0001_ledger"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "job_run",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("global_job_id", sa.String, nullable=False),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("job", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("pilot", sa.String, nullable=False),
        sa.Column("consumer", sa.String, nullable=False),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("work_type", sa.String, nullable=False),
        sa.Column("resource_class", sa.String, nullable=False),
        sa.Column("cores", sa.Integer, nullable=False),
        sa.Column("gpus", sa.Integer, nullable=False),
        sa.Column("factor", sa.Double, nullable=False),
        sa.Column("requested_s", sa.Integer, nullable=False),
        sa.Column("submitted", sa.Double),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("ended", sa.Double),
        sa.Column("wall_s", sa.Double),
        sa.Column("cpu_s", sa.Double),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("valued_at", sa.Double, nullable=False),
        sa.UniqueConstraint("global_job_id", "run", name="uq_job_run_global_job_id"),
    )
    op.create_index("ix_job_run_ended", "job_run", ["ended"])
    op.create_index("ix_job_run_pilot", "job_run", ["pilot"])
    op.create_table(
        "standing",
        sa.Column("centre", sa.String, primary_key=True),
        sa.Column("resource_class", sa.String, primary_key=True),
        sa.Column("balance", sa.Double, nullable=False),
        sa.Column("contributed", sa.Double, nullable=False),
    )
    op.create_table(
        "standing_epoch",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("half_life_s", sa.Double, nullable=False),
        sa.Column("latest", sa.Double, nullable=False),
    )
    op.create_table(
        "history_position",
        sa.Column("history", sa.String, primary_key=True),
        sa.Column("device", sa.BigInteger, primary_key=True),
        sa.Column("inode", sa.BigInteger, primary_key=True),
        sa.Column("tail", sa.String, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("read_at", sa.Double, nullable=False),
    )
    op.create_table(
        "pilot_report",
        sa.Column("pilot", sa.String, primary_key=True),
        sa.Column("centre", sa.String, nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("ended", sa.Double),
        sa.Column("code", sa.Integer),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("offered_core_s", sa.Double, nullable=False),
        sa.Column("used_core_s", sa.Double, nullable=False),
        sa.Column("idle_core_s", sa.Double, nullable=False),
        sa.Column("written", sa.Double, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("ix_pilot_report_centre", "pilot_report", ["centre"])
    op.create_table(
        "pilot_run",
        sa.Column(
            "pilot", sa.String, sa.ForeignKey("pilot_report.pilot", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("global_job_id", sa.String, primary_key=True),
        sa.Column("started", sa.Double, primary_key=True),
        sa.Column("ended", sa.Double, nullable=False),
        sa.Column("cores", sa.Integer, nullable=False),
        sa.Column("gpus", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
    )
    op.create_index("ix_pilot_run_global_job_id", "pilot_run", ["global_job_id"])

# SPDX-License-Identifier: Apache-2.0
"""Keep what shadow packages say of the studies that active ones analyse."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "shadow_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("package_name", sa.Text(), server_default="", nullable=False),
        sa.Column("package_version", sa.Text(), server_default="", nullable=False),
        sa.Column("package_sha256", sa.Text(), server_default="", nullable=False),
        sa.Column("package_status", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("active_outcome", sa.Text(), server_default="", nullable=False),
        sa.Column("active_score", sa.Float(), nullable=True),
        sa.Column("active_above", sa.Boolean(), nullable=True),
        sa.Column("outcome", sa.Text(), server_default="", nullable=False),
        sa.Column("headline", sa.Text(), server_default="", nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("above", sa.Boolean(), nullable=True),
        sa.Column("agrees", sa.Boolean(), nullable=True),
        sa.Column("score_difference", sa.Float(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("task_id", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_shadow_run_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shadow_run")),
    )
    op.create_index(op.f("ix_shadow_run_job_id"), "shadow_run", ["job_id"])
    op.create_index(op.f("ix_shadow_run_state"), "shadow_run", ["state"])


def downgrade() -> None:
    """Undo: what shadow packages said is lost, and nobody was told of it."""
    op.drop_table("shadow_run")

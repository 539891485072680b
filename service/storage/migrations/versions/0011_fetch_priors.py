# SPDX-License-Identifier: Apache-2.0
"""Fetch older studies from an archive: who waits for which, and what came for comparison alone."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Apply; everything of before came by itself."""
    op.add_column("study", sa.Column("fetched", sa.Integer(), server_default="0", nullable=False))
    op.add_column("job", sa.Column("as_prior", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "prior_fetch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default="", nullable=False),
        sa.Column("outcome", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("task_id", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_prior_fetch_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prior_fetch")),
        sa.UniqueConstraint("job_id", name=op.f("uq_prior_fetch_job_id")),
    )
    op.create_index(op.f("ix_prior_fetch_state"), "prior_fetch", ["state"])
    op.create_table(
        "asked_study",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fetch_id", sa.Integer(), nullable=False),
        sa.Column("study_instance_uid", sa.Text(), server_default="", nullable=False),
        sa.Column("series", sa.JSON(), nullable=False),
        sa.Column("state", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["fetch_id"], ["prior_fetch.id"], name=op.f("fk_asked_study_fetch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asked_study")),
        sa.UniqueConstraint("fetch_id", "study_instance_uid", name=op.f("uq_asked_study_fetch_id_study_instance_uid")),
    )
    op.create_index(op.f("ix_asked_study_fetch_id"), "asked_study", ["fetch_id"])
    op.create_index(op.f("ix_asked_study_study_instance_uid"), "asked_study", ["study_instance_uid"])


def downgrade() -> None:
    """Undo: what was fetched stays, and an older version takes its analyses for ordinary ones that nobody wanted."""
    op.drop_table("asked_study")
    op.drop_table("prior_fetch")
    op.drop_column("job", "as_prior")
    op.drop_column("study", "fetched")

# SPDX-License-Identifier: Apache-2.0
"""Send each destination its own: objects know their slot, rank and profile, and what is held back has rows.

What a result replaces is found when it is encoded, and no longer kept with its job.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Apply."""
    op.add_column("result_object", sa.Column("slot", sa.Text(), server_default="", nullable=False))
    op.add_column("result_object", sa.Column("rank", sa.Integer(), server_default="0", nullable=False))
    op.add_column("result_object", sa.Column("profile", sa.Text(), server_default="", nullable=False))
    op.drop_column("job", "predecessors")
    op.create_table(
        "held_object",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("profile", sa.Text(), server_default="", nullable=False),
        sa.Column("sop_class_uid", sa.Text(), server_default="", nullable=False),
        sa.Column("sop_instance_uid", sa.Text(), server_default="", nullable=False),
        sa.Column("path", sa.Text(), server_default="", nullable=False),
        sa.Column("destinations", sa.JSON(), nullable=False),
        sa.Column("problems", sa.JSON(), nullable=False),
        sa.Column("held_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_held_object_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_held_object")),
    )
    op.create_index(op.f("ix_held_object_job_id"), "held_object", ["job_id"])


def downgrade() -> None:
    """Undo: jobs name no predecessors until the next result, and states that 0004 does not know become old ones."""
    op.drop_table("held_object")
    op.add_column("job", sa.Column("predecessors", sa.JSON(), server_default="[]", nullable=False))
    op.execute("DELETE FROM delivery WHERE state IN ('waiting', 'held')")
    op.execute("UPDATE delivery SET state = 'delivered' WHERE state = 'retired'")
    op.execute("UPDATE delivery SET state = 'refused' WHERE state = 'declined'")
    op.execute("DELETE FROM delivery WHERE state = 'unneeded'")
    for name in ("profile", "rank", "slot"):
        op.drop_column("result_object", name)

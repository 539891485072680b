# SPDX-License-Identifier: Apache-2.0
"""Keep audit messages until the collector has them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audit_message",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_message")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Undo: what the collector does not have yet is lost; go back only when nothing waits for it."""
    op.drop_table("audit_message")

# SPDX-License-Identifier: Apache-2.0
"""Keep a few numbers of each analysed study, and where the watch over each package stands."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Apply; studies of before are not counted."""
    op.create_table(
        "drift_study",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pipeline", sa.Text(), server_default="", nullable=False),
        sa.Column("package_sha256", sa.Text(), server_default="", nullable=False),
        sa.Column("study_key", sa.Text(), server_default="", nullable=False),
        sa.Column("numbers", sa.JSON(), nullable=False),
        sa.Column("words", sa.JSON(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift_study")),
        sa.UniqueConstraint("pipeline", "package_sha256", "study_key", name="uq_drift_study_package_study"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "drift_watch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pipeline", sa.Text(), server_default="", nullable=False),
        sa.Column("package_sha256", sa.Text(), server_default="", nullable=False),
        sa.Column("package_name", sa.Text(), server_default="", nullable=False),
        sa.Column("package_version", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="", nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift_watch")),
        sa.UniqueConstraint("pipeline", "package_sha256", name="uq_drift_watch_package"),
    )


def downgrade() -> None:
    """Undo: alarms and baselines are lost, and with them the flag on later results."""
    op.drop_table("drift_watch")
    op.drop_table("drift_study")

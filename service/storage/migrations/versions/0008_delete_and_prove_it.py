# SPDX-License-Identifier: Apache-2.0
"""Delete what is no longer needed, with proof: purges, and what they leave behind."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

SIZE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BATCH = 500


def upgrade() -> None:
    """Apply; what peers were promised before is never deleted either."""
    _add_columns()
    op.create_table(
        "purge",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=True),
        sa.Column("study_key", sa.Text(), server_default="", nullable=False),
        sa.Column("what", sa.Text(), server_default="", nullable=False),
        sa.Column("rule", sa.Text(), server_default="", nullable=False),
        sa.Column("files", sa.Integer(), server_default="0", nullable=False),
        sa.Column("size_bytes", SIZE, nullable=False),
        sa.Column("digests_sha256", sa.Text(), server_default="", nullable=False),
        sa.Column("begun_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purge")),
    )
    op.create_index(op.f("ix_purge_ended_at"), "purge", ["ended_at"])
    _keep_promises()


def downgrade() -> None:
    """Undo: the proofs are lost. Files of a purge that was under way are nobody's, and put into `unclaimed/`.

    A destination that a person holds is tried again: 0007 knows no such state.
    """
    op.execute("UPDATE instance SET path = '' WHERE purge_id IS NOT NULL")
    op.execute("UPDATE circuit SET state = 'closed', task_id = '' WHERE state = 'held'")
    op.drop_table("purge")
    op.drop_column("result_object", "series_instance_uid")
    op.drop_index("ix_job_purge_id_ended_at", "job")
    for name in ("kept", "purge_id"):
        op.drop_column("job", name)
    op.drop_index(op.f("ix_instance_purge_id"), "instance")
    for name in ("promised", "purge_id"):
        op.drop_column("instance", name)
    op.drop_index(op.f("ix_study_purged"), "study")
    op.drop_column("study", "purged")


def _add_columns() -> None:
    op.add_column("study", sa.Column("purged", sa.Integer(), server_default="0", nullable=False))
    op.create_index(op.f("ix_study_purged"), "study", ["purged"])
    op.add_column("instance", sa.Column("purge_id", sa.Integer(), nullable=True))
    op.add_column("instance", sa.Column("promised", sa.Integer(), server_default="0", nullable=False))
    op.create_index(op.f("ix_instance_purge_id"), "instance", ["purge_id"])
    op.add_column("job", sa.Column("purge_id", sa.Integer(), nullable=True))
    op.add_column("job", sa.Column("kept", sa.JSON(), nullable=True))
    op.create_index("ix_job_purge_id_ended_at", "job", ["purge_id", "ended_at"])
    op.add_column("result_object", sa.Column("series_instance_uid", sa.Text(), server_default="", nullable=False))


def _keep_promises() -> None:
    instance = sa.table("instance", sa.column("sop_instance_uid", sa.Text), sa.column("promised", sa.Integer))
    for uids in _promised():
        op.execute(sa.update(instance).where(instance.c.sop_instance_uid.in_(uids)).values(promised=1))


def _promised() -> Iterator[list[str]]:
    order = sa.table("commitment_order", sa.column("references", sa.JSON))
    for (references,) in op.get_bind().execute(sa.select(order.c.references)).all():
        uids = [instance for _, instance in references]
        yield from (uids[start : start + BATCH] for start in range(0, len(uids), BATCH))

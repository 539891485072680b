# SPDX-License-Identifier: Apache-2.0
"""Make the quarantine, and move the conflicts into it; their files stay where they are."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

MOVED = """
    INSERT INTO quarantine ("key", reason, message, peer, study_instance_uid, sop_instance_uid, path, sha256,
                            size_bytes, "offset", flags, times, first_at, last_at)
    SELECT replace(replace(path, 'conflicts/', ''), '.dcm', ''), 'conflict',
           'other bytes came under a SOP Instance UID that was known; the first ones stay', peer,
           study_instance_uid, sop_instance_uid, path, sha256, size_bytes, 0, '[]', 1, received_at, received_at
    FROM conflict
"""


def upgrade() -> None:
    """Apply."""
    size = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    texts = ("calling_ae", "study_instance_uid", "sop_class_uid", "sop_instance_uid", "transfer_syntax_uid", "path")
    work = ("job_key", "inputs_sha256", "ended_by", "stage")
    op.create_table(
        "quarantine",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.Column("peer", sa.Text(), server_default="", nullable=False),
        *(sa.Column(name, sa.Text(), server_default="", nullable=False) for name in (*texts, "sha256")),
        sa.Column("size_bytes", size, nullable=False),
        sa.Column("offset", size, nullable=False),
        *(sa.Column(name, sa.Text(), server_default="", nullable=False) for name in work),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("times", sa.Integer(), server_default="0", nullable=False),
        sa.Column("first_at", sa.Float(), nullable=False),
        sa.Column("last_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
        sa.UniqueConstraint("key", name=op.f("uq_quarantine_key")),
    )
    for column in ("last_at", "peer", "reason"):
        op.create_index(op.f(f"ix_quarantine_{column}"), "quarantine", [column])
    op.execute(MOVED)
    op.drop_table("conflict")


def downgrade() -> None:
    """Make the conflicts again; what else lay in the quarantine is forgotten."""
    op.create_table(
        "conflict",
        sa.Column("id", sa.Integer(), nullable=False),
        *(
            sa.Column(name, sa.Text(), server_default="", nullable=False)
            for name in ("sop_instance_uid", "study_instance_uid", "path", "sha256")
        ),
        sa.Column("size_bytes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("peer", sa.Text(), server_default="", nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conflict")),
        sa.UniqueConstraint("sop_instance_uid", "sha256", name=op.f("uq_conflict_sop_instance_uid_sha256")),
    )
    op.execute(
        "INSERT INTO conflict (sop_instance_uid, study_instance_uid, path, sha256, size_bytes, peer, received_at) "
        "SELECT sop_instance_uid, study_instance_uid, path, sha256, size_bytes, peer, first_at "
        "FROM quarantine WHERE reason = 'conflict'"
    )
    op.drop_table("quarantine")

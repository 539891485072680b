# SPDX-License-Identifier: Apache-2.0
"""Follow results to the commitment of their destinations, and destinations through their outages."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.add_column(sa.Column("stored_at", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("proof", sa.Text(), server_default="", nullable=False))
        batch_op.add_column(sa.Column("parked", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("tries", sa.Integer(), server_default="0", nullable=False))
        batch_op.create_index("ix_delivery_job_destination", ["job_id", "destination", "state"], unique=False)
        batch_op.create_index("ix_delivery_waiting", ["destination", "state", "parked"], unique=False)
    op.execute("UPDATE delivery SET stored_at = ended_at WHERE state = 'delivered'")
    op.create_table(
        "circuit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("probes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed_job_id", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("task_id", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_circuit")),
        sa.UniqueConstraint("destination", name=op.f("uq_circuit_destination")),
    )
    op.create_table(
        "commitment_order",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("peer", sa.Text(), server_default="", nullable=False),
        sa.Column("calling_ae", sa.Text(), server_default="", nullable=False),
        sa.Column("transaction_uid", sa.Text(), server_default="", nullable=False),
        sa.Column("references", sa.JSON(), nullable=False),
        sa.Column("reported", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("task_id", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commitment_order")),
        sa.UniqueConstraint("peer", "transaction_uid", name=op.f("uq_commitment_order_peer_transaction_uid")),
    )
    op.create_table(
        "commitment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("destination", sa.Text(), server_default="", nullable=False),
        sa.Column("transaction_uid", sa.Text(), nullable=False),
        sa.Column("delivery_ids", sa.JSON(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("unanswered", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=True),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("parked", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("task_id", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_commitment_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commitment")),
        sa.UniqueConstraint("job_id", "destination", "number", name=op.f("uq_commitment_job_id_destination_number")),
        sa.UniqueConstraint("transaction_uid", name=op.f("uq_commitment_transaction_uid")),
    )
    with op.batch_alter_table("commitment", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_commitment_job_id"), ["job_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_commitment_state"), ["state"], unique=False)


def downgrade() -> None:
    """Undo: success is the last word on a result again, and outages and requests of peers are forgotten."""
    op.execute("UPDATE delivery SET state = 'delivered', ended_at = stored_at WHERE state IN ('stored', 'committed')")
    op.execute("UPDATE delivery SET state = 'refused' WHERE state = 'abandoned'")
    for table in ("commitment", "commitment_order", "circuit"):
        op.drop_table(table)
    for name in ("ix_delivery_waiting", "ix_delivery_job_destination"):
        op.drop_index(name, "delivery")
    for name in ("tries", "parked", "proof", "stored_at"):
        op.drop_column("delivery", name)

# SPDX-License-Identifier: Apache-2.0
"""Find older studies of the same patient: whose a job is, and of which date."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Apply; jobs of before are nobody's, and are never found as priors."""
    for name in ("patient_key", "study_date"):
        op.add_column("job", sa.Column(name, sa.Text(), server_default="", nullable=False))
    op.create_index("ix_job_prior", "job", ["patient_key", "pipeline", "study_date"])


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_job_prior", "job")
    for name in ("patient_key", "study_date"):
        op.drop_column("job", name)

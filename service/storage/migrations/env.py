# SPDX-License-Identifier: Apache-2.0
"""Runs migrations on the connection that `service.storage.database.migrate` hands over."""

from alembic import context

from service.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    version_table="ledger_version",
)
with context.begin_transaction():
    context.run_migrations()

# SPDX-License-Identifier: Apache-2.0
"""Makes a full disk look like a busy one to DBOS, which waits for the latter and gives up on the former."""

import sqlite3
from typing import Any

import sqlalchemy as sa

DISK_FULL = "disk is full"


def retry_when_disk_is_full(engine: sa.Engine) -> None:
    """Let DBOS retry when SQLite's disk is full, instead of leaving tasks running for ever."""
    if not sa.event.contains(engine, "handle_error", _as_locked):
        sa.event.listen(engine, "handle_error", _as_locked, retval=True)


def _as_locked(context: Any) -> BaseException | None:
    if DISK_FULL not in str(context.original_exception):
        return None
    # DBOS recognises the text (dbos/_utils.py, retriable_sqlite_exception); "disk is full" stays for people.
    error = sqlite3.OperationalError(f"database is locked ({DISK_FULL})")
    return sa.exc.OperationalError(context.statement, context.parameters, error)

# SPDX-License-Identifier: Apache-2.0
"""Compares the disk with the ledger: a file that no row names is an orphan, a row without its file is a loss.

A crash between a rename and its commit leaves an orphan, which nobody was promised. The comparison goes folder by
folder, so that the memory it takes does not grow with the number of studies.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from service.domain.errors import StorageError
from service.storage import schema
from service.storage.deliveries import REJECTION_NOTE
from service.storage.dialect import SQLITE
from service.storage.folder import DataFolder, all_incoming
from service.storage.instance_store import FileStore

ROWS_AT_ONCE = 5000


@dataclass(slots=True, kw_only=True)
class StorageAudit:
    """What an audit found; paths are relative to the data folder."""

    files: int = 0
    partial: int = 0
    orphans: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether ledger and disk say the same."""
        return not (self.partial or self.orphans or self.missing)


def audit_storage(engine: sa.Engine, folder: DataFolder, *, grace_seconds: float = 0.0) -> StorageAudit:
    """Compare every row that names a file with the files on the disk, and the other way round.

    Parameters
    ----------
    grace_seconds
        A file so young is no orphan: beside a running node its row may be on its way.

    Raises
    ------
    StorageError
        The ledger or the disk cannot be read.
    """
    try:
        with engine.connect() as connection:
            audit = _compare(connection, folder)
    except (DBAPIError, OSError) as error:
        raise StorageError(f"ledger and disk cannot be compared: {type(error).__name__}") from error
    latest = time.time() - grace_seconds
    audit.orphans = [path for path in audit.orphans if not grace_seconds or _older(folder.root / path, latest)]
    partial = (path for path in all_incoming(folder).rglob("*") if path.is_file())
    audit.partial = sum(1 for path in partial if not grace_seconds or _older(path, latest))
    return audit


def reconcile_storage(
    engine: sa.Engine, folder: DataFolder, store: FileStore, *, grace_seconds: float = 0.0
) -> StorageAudit:
    """Audit, and put away the orphans of earlier lives; once at the start, beside the node's first work.

    Parameters
    ----------
    grace_seconds
        Where members share the folder: what is younger may be another's work in progress.
    """
    latest = time.time() - grace_seconds
    try:
        audit = audit_storage(engine, folder, grace_seconds=grace_seconds)
        orphans = [path for path in audit.orphans if not grace_seconds or _older(folder.root / path, latest)]
        audit.orphans = [path for path in orphans if store.put_away(folder.root / path)]
    finally:
        store.end_of_audit()
    return audit


def _compare(connection: sa.Connection, folder: DataFolder) -> StorageAudit:
    audit, audited = StorageAudit(), set()
    for table in (schema.instance, schema.quarantine):
        for parent, named, going in _named(connection, table):
            _compare_folder(folder, parent, named, going, audit=audit)
            audited.add(parent)
    for parent in _owned(folder):
        if parent not in audited:
            _compare_folder(folder, parent, set(), set(), audit=audit)
    written = schema.result_object.c.kind != REJECTION_NOTE  # a note is written when its turn comes
    for parent, named, going in _named(connection, schema.result_object, written):
        audit.missing += _paths(parent, named - going - _files(folder.root / parent))
    return audit


def _compare_folder(folder: DataFolder, parent: str, named: set[str], going: set[str], *, audit: StorageAudit) -> None:
    files = _files(folder.root / parent)
    audit.files += len(files)
    audit.orphans += _paths(parent, files - named)
    audit.missing += _paths(parent, named - files - going)


def _named(
    connection: sa.Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]
) -> Iterator[tuple[str, set[str], set[str]]]:
    """Yield each folder that a table's rows name, the names in it, and those that a purge is deleting."""
    path: sa.ColumnElement[str] = table.c.path
    order = path if connection.dialect.name == SQLITE else sa.collate(path, "C")
    rows = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(
        sa.select(path, _going(table)).where(path != "", *conditions).order_by(order)
    )
    found = ((PurePosixPath(row[0]), row[1]) for row in rows)
    for parent, group in groupby(found, key=lambda item: str(item[0].parent)):
        items = list(group)
        yield parent, {path.name for path, _ in items}, {path.name for path, going in items if going is not None}


def _going(table: sa.Table) -> sa.ColumnElement[Any]:
    """Return the purge that deletes a row's file, of the tables whose files are ever purged."""
    if table is schema.instance:
        return schema.instance.c.purge_id
    if table is schema.result_object:
        own = schema.job.c.id == schema.result_object.c.job_id
        return sa.select(schema.job.c.purge_id).where(own).correlate(schema.result_object).scalar_subquery()
    return sa.null()


def _owned(folder: DataFolder) -> Iterator[str]:
    """Yield the folders in which every file belongs to a row."""
    yield folder.quarantine.name
    yield from sorted(f"{folder.instances.name}/{entry.name}" for entry in folder.instances.iterdir())


def _files(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))  # noqa: PTH208 - names are all that is wanted, for any number of files
    except FileNotFoundError:
        return set()


def _paths(parent: str, names: set[str]) -> list[str]:
    return sorted(f"{parent}/{name}" for name in names)


def _older(path: Path, latest: float) -> bool:
    try:
        return path.stat().st_ctime < latest
    except FileNotFoundError:
        return False  # gone meanwhile: it was somebody's work in progress

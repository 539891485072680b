# SPDX-License-Identifier: Apache-2.0
"""What survives: the files of instances and results, and the ledger that is the truth about them."""

from service.storage.database import create_database, database_of, migrate
from service.storage.disk_audit import StorageAudit, audit_storage, reconcile_storage
from service.storage.folder import DataFolder, FolderLock, open_folder, site_key
from service.storage.instance_store import FileStore
from service.storage.ledger import SqlLedger
from service.storage.postgresql import DatabaseLock

__all__ = [
    "DataFolder",
    "DatabaseLock",
    "FileStore",
    "FolderLock",
    "SqlLedger",
    "StorageAudit",
    "audit_storage",
    "create_database",
    "database_of",
    "migrate",
    "open_folder",
    "reconcile_storage",
    "site_key",
]

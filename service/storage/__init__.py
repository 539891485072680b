# SPDX-License-Identifier: Apache-2.0
"""What survives: the files of instances and results, and the ledger that is the truth about them."""

from service.storage.database import create_database, migrate
from service.storage.folder import DataFolder, FolderLock, open_folder, site_key
from service.storage.instance_store import FileStore
from service.storage.ledger import SqlLedger

__all__ = [
    "DataFolder",
    "FileStore",
    "FolderLock",
    "SqlLedger",
    "create_database",
    "migrate",
    "open_folder",
    "site_key",
]

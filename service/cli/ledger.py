# SPDX-License-Identifier: Apache-2.0
"""`dokuei ledger`: which revision the ledger's tables have, and how they are taken to another."""

from pathlib import Path

from service.cli.console import console, print_json
from service.cli.status import open_statistics
from service.domain.errors import ConfigurationError
from service.settings import StorageSettings, load_settings
from service.storage.database import change_revision, database_of, newest_revision, revision_of
from service.storage.folder import FolderLock
from service.storage.postgresql import DatabaseLock


def ledger(config: Path, *, to: str | None, as_json: bool) -> int:
    """Print the revision, after changing it where that is asked for."""
    storage = load_settings(config).storage
    open_statistics(storage)  # says so when there is no ledger
    engine = database_of(storage)
    try:
        before = revision_of(engine)
        if to is not None:
            _change(storage, to)
        now, newest = revision_of(engine), newest_revision()
    finally:
        engine.dispose()
    if as_json:
        print_json({"revision": now, "newest": newest, "was": before})
    else:
        console.print(f"the ledger has revision {now}; this version reads up to {newest}")
    return 1 if now > newest else 0


def _change(storage: StorageSettings, to: str) -> None:
    """Change it while no node runs."""
    if storage.database_url is None and not storage.folder.is_dir():
        raise ConfigurationError(f"storage.folder '{storage.folder}' is not there")
    lock = FolderLock(storage.folder)
    engine = database_of(storage)
    held = DatabaseLock(engine) if storage.database_url else None
    try:
        change_revision(engine, to)
    finally:
        if held is not None:
            held.release()
        engine.dispose()
        lock.release()

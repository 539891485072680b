# SPDX-License-Identifier: Apache-2.0
"""`dokuei backup` and `dokuei restore`."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from service.cli.console import console, print_json
from service.cli.status import open_statistics
from service.settings import load_settings
from service.storage.backup import BackupReport, RestoreReport, make_backup, restore_backup
from service.storage.database import database_of
from service.storage.disk_audit import audit_storage
from service.storage.folder import FolderLock, open_folder

SHOWN = 10


def backup(config: Path, folder: Path, *, as_json: bool) -> int:
    """Make a backup; exit status 1 when files are missing from it."""
    storage = load_settings(config).storage
    open_statistics(storage)  # says so when there is no ledger
    report = make_backup(storage, folder, config=config, now=datetime.now(UTC).astimezone())
    if as_json:
        print_json({"folder": str(folder), **asdict(report)})
    else:
        console.print(f"{report.files} files, {report.size_bytes / 1e6:.1f} MB, ledger of {report.made_at}: {folder}")
        _tell_missing(report)
    return 1 if report.missing else 0


def restore(config: Path, folder: Path, *, as_json: bool) -> int:
    """Put a backup back, and compare ledger and disk."""
    storage = load_settings(config).storage
    report = restore_backup(storage, folder)
    lock = FolderLock(storage.folder)
    engine = database_of(storage)
    try:
        audit = audit_storage(engine, open_folder(storage.folder))
    finally:
        engine.dispose()
        lock.release()
    if as_json:
        print_json({"folder": str(storage.folder), **asdict(report), "sound": not audit.missing})
    else:
        what = f"{report.files} files, {report.size_bytes / 1e6:.1f} MB, as of {report.made_at}"
        console.print(f"{storage.folder} is restored: {what}; every digest was checked")
        console.print("what was received after that is not in it: have the senders send it again, see docs/recovery.md")
        _tell_missing(report)
    return 1 if audit.missing else 0


def _tell_missing(report: BackupReport | RestoreReport) -> None:
    if not report.missing:
        return
    console.print(
        f"{len(report.missing)} file(s) that the ledger names were not there; have those studies sent again:",
        style="red",
    )
    for path in report.missing[:SHOWN]:
        console.print(f"  {path}", markup=False)

# SPDX-License-Identifier: Apache-2.0
"""Backup of a node while it runs: first the ledger as it is at one moment, then every file that it names.

Files of instances and results are never changed once a row names them, and nothing is deleted while a backup is made
(`folder.nothing_deleted`), so that whatever a row names is there to be copied. A backup is complete when it has its
manifest, which is written last, with the digest of every file.
"""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service import __version__
from service.domain.errors import ConfigurationError, StorageError
from service.settings import StorageSettings
from service.storage.backup_place import DATA, MANIFEST, UNFINISHED, why_no_backup
from service.storage.database import database_of, newest_revision, revision_of
from service.storage.flush import flush_folder
from service.storage.folder import nothing_deleted
from service.storage.postgresql_backup import Snapshot, check_empty, restore_dump
from service.storage.sqlite import DATABASE_FILE

DUMP = "ledger.pgdump"
CONFIG = "config.yaml"
SITE_KEY = "site.key"
FORMAT = 1
CHUNK_BYTES = 1 << 20
SHOWN = 5
NAMED_FILES = (
    "SELECT path FROM instance WHERE path <> '' AND purge_id IS NULL",
    "SELECT path FROM quarantine WHERE path <> ''",
)
NAMED_RESULTS = "SELECT key FROM job WHERE purge_id IS NULL"


@dataclass(slots=True, kw_only=True)
class BackupReport:
    """What was copied; `missing` are files that the ledger names and that are not there, by their relative path."""

    made_at: str
    revision: str
    files: int = 0
    size_bytes: int = 0
    missing: list[str] = field(default_factory=list)


def make_backup(storage: StorageSettings, target: Path, *, config: Path, now: datetime) -> BackupReport:
    """Copy ledger and files into `target`, which is made.

    Raises
    ------
    ConfigurationError
        `target` is there already, or lies in the data folder.
    StorageError
        The copy could not be written, or the database not be dumped; what was copied is under `<target>.partial`.
    """
    partial = _fresh(storage, target)
    try:
        with nothing_deleted(storage.folder):
            report = _copy_all(storage, partial, config=config, now=now)
        flush_folder(partial)
        partial.rename(target)
        flush_folder(target.parent)
    except (OSError, sqlite3.Error, sa.exc.DBAPIError) as error:
        raise StorageError(f"the backup could not be made ({type(error).__name__}: {_reason(error)})") from error
    return report


def _fresh(storage: StorageSettings, target: Path) -> Path:
    place = target.absolute()
    if place.exists():
        raise ConfigurationError(f"'{target}' is there already; name a folder that is not")
    if storage.folder.resolve() in place.resolve().parents:
        raise ConfigurationError(f"'{target}' lies in storage.folder; a backup belongs on another disk")
    partial = place.with_name(f"{place.name}{UNFINISHED}")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / DATA).mkdir(parents=True, mode=0o700)
    return partial


def _copy_all(storage: StorageSettings, partial: Path, *, config: Path, now: datetime) -> BackupReport:
    report = BackupReport(made_at=now.isoformat(timespec="seconds"), revision="")
    digests: dict[str, Any] = {}
    named = _copy_ledger(storage, partial, report)
    for extra, place in ((config, CONFIG), *((partial / name, name) for name in (DUMP, f"{DATA}/{DATABASE_FILE}"))):
        if extra.is_file():
            target = partial / place
            digests[place] = _digest(target) if target.exists() else _copied(extra, target)
    for relative in (SITE_KEY, *named):
        source = storage.folder / relative
        if source.is_file():
            digests[f"{DATA}/{relative}"] = _copied(source, partial / DATA / relative)
        elif relative != SITE_KEY:
            report.missing.append(relative)
    report.files, report.size_bytes = len(digests), sum(item["bytes"] for item in digests.values())
    _write_manifest(partial, report, digests, kind="postgresql" if storage.database_url else "sqlite")
    return report


def _copy_ledger(storage: StorageSettings, partial: Path, report: BackupReport) -> list[str]:
    """Copy the ledger at one moment; return what it names at that moment."""
    if storage.database_url is None:
        copy = partial / DATA / DATABASE_FILE
        _copy_sqlite(storage.folder / DATABASE_FILE, copy)
        engine = sa.create_engine(f"sqlite:///{copy}", poolclass=sa.NullPool, hide_parameters=True)
        with engine.connect() as connection:
            report.revision, named = revision_of(engine), _named(connection, storage.folder)
        return named
    engine = database_of(storage)
    try:
        report.revision = revision_of(engine)
        with Snapshot(engine) as snapshot:
            named = _named(snapshot.connection, storage.folder)
            snapshot.dump(storage, partial / DUMP)
    finally:
        engine.dispose()
    return named


def _copy_sqlite(source: Path, target: Path) -> None:
    target.touch(mode=0o600)
    with closing(sqlite3.connect(source, timeout=30)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)  # all in one step: a reader's view, which neither waits for the writer nor holds it up
        copy.execute("PRAGMA journal_mode=DELETE")


def _named(connection: sa.Connection, root: Path) -> list[str]:
    """Return all files that rows name: results by the folders of their jobs, which hold more than the objects."""
    files = [path for query in NAMED_FILES for path in connection.exec_driver_sql(query).scalars()]
    for key in connection.exec_driver_sql(NAMED_RESULTS).scalars():
        files += [str(path.relative_to(root)) for path in _whole_files(root / "results" / key)]
    return sorted(files)


def _whole_files(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.rglob("*") if path.is_file() and path.suffix != UNFINISHED)


def _copied(source: Path, target: Path) -> dict[str, Any]:
    """Copy a file durably, for nobody else to read; return its digest and size."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with source.open("rb") as reading, os.fdopen(descriptor, "wb") as writing:
        while chunk := reading.read(CHUNK_BYTES):
            digest.update(chunk)
            writing.write(chunk)
        writing.flush()
        os.fsync(writing.fileno())
    return {"sha256": digest.hexdigest(), "bytes": target.stat().st_size}


def _digest(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
        return {"sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "bytes": path.stat().st_size}


def _write_manifest(partial: Path, report: BackupReport, digests: Mapping[str, Any], *, kind: str) -> None:
    document = {
        "format": FORMAT,
        "version": __version__,
        "made_at": report.made_at,
        "database": kind,
        "revision": report.revision,
        "missing": report.missing,
        "files": digests,
    }
    path = partial / MANIFEST
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _digest(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """What was put back; `missing` were missing when the backup was made."""

    made_at: str
    revision: str
    files: int
    size_bytes: int
    missing: tuple[str, ...]


def restore_backup(storage: StorageSettings, source: Path) -> RestoreReport:
    """Put a backup into the data folder and database of the settings, both empty.

    Raises
    ------
    ConfigurationError
        The backup is not whole, was altered, or does not fit; or something is there already. Nothing is changed.
    StorageError
        The files could not be written: empty the folder, and try again.
    """
    manifest = _read_manifest(source)
    _check_fit(storage, manifest)
    _check_digests(source, manifest["files"])
    data = {name.removeprefix(f"{DATA}/"): item for name, item in manifest["files"].items() if name.startswith(DATA)}
    try:
        storage.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The ledger comes last: a node that is started on half a restore finds none, and says so.
        for name in sorted(data, key=lambda name: (name == DATABASE_FILE, name)):
            if _copied(source / DATA / name, storage.folder / name) != data[name]:
                raise ConfigurationError(f"'{name}' of the backup changed while it was copied; empty the folder first")
        if manifest["database"] == "postgresql":
            restore_dump(storage, source / DUMP)
    except OSError as error:
        raise StorageError(f"the backup could not be put back: {_reason(error)}; empty storage.folder first") from error
    return RestoreReport(
        made_at=manifest["made_at"],
        revision=manifest["revision"],
        files=len(data),
        size_bytes=sum(item["bytes"] for item in data.values()),
        missing=tuple(manifest["missing"]),
    )


def _read_manifest(source: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(why_no_backup(source, error)) from None
    except ValueError:
        raise ConfigurationError(
            f"'{source / MANIFEST}' cannot be read: it was damaged, or is the manifest of something else; take another "
            "backup, or another copy of this one"
        ) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise ConfigurationError(
            f"'{source}' has format {found!r}; this version reads {FORMAT}: it is no backup of a node, or that of "
            "a later version, which then must be installed first"
        )
    return manifest


def _check_fit(storage: StorageSettings, manifest: Mapping[str, Any]) -> None:
    kind = "postgresql" if storage.database_url else "sqlite"
    if manifest["database"] != kind:
        raise ConfigurationError(
            f"the backup's ledger is {manifest['database']}, that of config.yaml {kind}; restore it to the same kind"
        )
    if manifest["revision"] > newest_revision():
        raise ConfigurationError(
            f"the backup's ledger has revision {manifest['revision']}, and this version reads up to "
            f"{newest_revision()}; install the version that made it ({manifest['version']})"
        )
    if storage.folder.exists() and any(storage.folder.iterdir()):
        raise ConfigurationError(
            f"storage.folder '{storage.folder}' is not empty; a backup is never mixed with what is there: name an "
            "empty folder, or move the old one away"
        )
    if kind == "postgresql":
        check_empty(storage)


def _check_digests(source: Path, files: Mapping[str, Any]) -> None:
    wrong = [name for name, expected in files.items() if _is_wrong(source / name, expected)]
    if wrong:
        shown = ", ".join(sorted(wrong)[:SHOWN])
        raise ConfigurationError(
            f"{len(wrong)} file(s) of the backup are missing or were altered since it was made: {shown}; use another"
        )


def _is_wrong(path: Path, expected: Mapping[str, Any]) -> bool:
    try:
        return _digest(path) != expected
    except OSError:
        return True


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__)

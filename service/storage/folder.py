# SPDX-License-Identifier: Apache-2.0
"""The data folder: its places, and the lock that keeps a second node out of it."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from service.domain.errors import ConfigurationError
from service.storage.flush import flush_folder

LOCK = "lock"
PURGE_LOCK = "purge.lock"
SHELVES = tuple(f"{number:02x}" for number in range(256))
"""Instances lie on 256 shelves that exist from the start, so that receiving one never makes a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFolder:
    """The places in the data folder; all on one file system, so that a rename is atomic."""

    root: Path

    @property
    def incoming(self) -> Path:
        """Files that are being written."""
        return self.root / "incoming"

    @property
    def instances(self) -> Path:
        """Files that are acknowledged, on shelves."""
        return self.root / "instances"

    @property
    def quarantine(self) -> Path:
        """Files that were not let in."""
        return self.root / "quarantine"

    @property
    def unclaimed(self) -> Path:
        """Whole files that no row of the ledger names: of a crash, or of a database that is older than the disk."""
        return self.root / "unclaimed"

    @property
    def results(self) -> Path:
        """One folder per job."""
        return self.root / "results"


class FolderLock:
    """Exclusive use of a data folder, for as long as the object lives or until `release`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = (folder / LOCK).open("a")  # what another node wrote stays, should it be running
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise ConfigurationError(
                f"storage.folder {str(folder)!r} is in use by another node; stop it, or give this one another folder"
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let another node use the folder."""
        self._file.close()


def lock_owner(folder: Path) -> int | None:
    """Return the process id of the node that uses a data folder; None when there is none."""
    try:
        with (folder / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except OSError:
        text = (folder / LOCK).read_text().strip()
        return int(text) if text.isdecimal() else None
    return None


def open_folder(root: Path) -> DataFolder:
    """Make the places of a data folder, readable by nobody else."""
    folder = DataFolder(root=root.resolve())
    for place in (folder.incoming, folder.instances, folder.quarantine, folder.unclaimed, folder.results):
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    for shelf in SHELVES:
        (folder.instances / shelf).mkdir(exist_ok=True, mode=0o700)
    flush_folder(folder.instances)
    flush_folder(folder.root)
    return folder


def site_key(root: Path) -> bytes:
    """Return the secret that study keys in logs are made with; drawn once per data folder."""
    path = root / "site.key"
    if not path.exists():
        partial = path.with_suffix(".part")
        partial.touch(mode=0o600)
        partial.write_bytes(secrets.token_bytes(32))
        partial.replace(path)
        flush_folder(root)
    return path.read_bytes()


@contextmanager
def purging(root: Path) -> Iterator[bool]:
    """Keep backups from beginning while the block runs; False when one is being made, and nothing may be deleted."""
    with (root / PURGE_LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def nothing_deleted(root: Path) -> Iterator[None]:
    """Keep the node from deleting while the block runs: waits for what it is just deleting."""
    with (root / PURGE_LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield

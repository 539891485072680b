# SPDX-License-Identifier: Apache-2.0
"""The data folder: its places, and the lock that keeps a second node out of it."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from service.domain.errors import ConfigurationError
from service.storage.flush import flush_folder

LOCK = "lock"
PURGE_LOCK = "purge.lock"
INCOMING = "incoming"
SHELVES = tuple(f"{number:02x}" for number in range(256))
"""Instances lie on 256 shelves that exist from the start, so that receiving one never makes a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFolder:
    """The places in the data folder; all on one file system, so that a rename is atomic.

    `member` names the process where several share the folder.
    """

    root: Path
    member: str = ""

    @property
    def incoming(self) -> Path:
        """Files that this process is writing."""
        return self.root / INCOMING / self.member if self.member else self.root / INCOMING

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


def all_incoming(folder: DataFolder) -> Path:
    """Return where files lie that any process is writing: those of members in folders of their names."""
    return folder.root / INCOMING


class FolderLock:
    """Use of a data folder by one node, or by several members (`shared`), while the object lives or until `release`."""

    def __init__(self, folder: Path, *, shared: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = (folder / LOCK).open("a+")  # what another node wrote stays, should it be running
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            others = "a node that runs without --role" if shared else "another node, or by members (--role)"
            raise ConfigurationError(
                f"storage.folder {str(folder)!r} is in use by {others}; stop it, or give this one another folder"
            ) from None
        if not shared:
            self._file.truncate(0)
            self._file.write(f"{os.getpid()}\n")
            self._file.flush()

    def release(self) -> None:
        """Let another node use the folder."""
        self._file.close()


def lock_owner(folder: Path) -> int | None:
    """Return the process id of the node that uses a data folder; None when there is none, or members do."""
    try:
        with (folder / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except OSError:
        text = (folder / LOCK).read_text().strip()
        return int(text) if text.isdecimal() else None
    return None


def is_shared(folder: Path) -> bool:
    """Say whether members (`dokuei run --role`) use a data folder now, on this machine or on others."""
    try:
        with (folder / LOCK).open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return lock_owner(folder) is None
    except OSError:
        return False
    return False


def open_folder(root: Path, *, member: str = "") -> DataFolder:
    """Make the places of a data folder, readable by nobody else; `member` names the process where several share it."""
    folder = DataFolder(root=root.resolve(), member=member)
    for place in (
        all_incoming(folder),
        folder.incoming,
        folder.instances,
        folder.quarantine,
        folder.unclaimed,
        folder.results,
    ):
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.utime(folder.incoming)  # to the member that clears up it is in use, whoever had this name before
    for shelf in SHELVES:
        (folder.instances / shelf).mkdir(exist_ok=True, mode=0o700)
    flush_folder(folder.instances)
    flush_folder(folder.root)
    return folder


def site_key(root: Path) -> bytes:
    """Return the secret that study keys in logs are made with; drawn once per data folder."""
    path = root / "site.key"
    if not path.exists():
        partial = path.with_suffix(f".{secrets.token_hex(8)}.part")
        partial.touch(mode=0o600)
        with partial.open("wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another member was faster, and its key is everybody's
            path.hardlink_to(partial)
        partial.unlink()
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

# SPDX-License-Identifier: Apache-2.0
"""Files of instances: streamed to a temporary file, flushed, and renamed to a name that we made."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from service.domain.errors import OutOfSpaceError, StorageError
from service.domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from service.ports.store import ArrivedFile
from service.storage.folder import DataFolder, flush_folder

PREAMBLE = bytes(128) + b"DICM"
"""Always zeros: a peer's preamble could make the file executable (PS3.10 section 7.1)."""


class FileStore:
    """Keeps instances in a data folder.

    Parameters
    ----------
    reserve_bytes
        Below this much free space nothing is taken in.
    """

    def __init__(self, folder: DataFolder, *, reserve_bytes: int) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes

    def write(
        self,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        dataset: Iterable[bytes | memoryview],
    ) -> ArrivedFile:
        """Stream the data set to `incoming/<random>.part` and flush it."""
        self._check_space()
        header = _header(sop_class_uid, sop_instance_uid, transfer_syntax_uid)
        path = self._folder.incoming / f"{uuid4().hex}.part"
        with _storage_errors(), _removed_on_error(path), path.open("xb") as stream:
            digest, size_bytes = _write(stream, header, dataset)
        name = hashlib.sha256(header + bytes.fromhex(digest)).hexdigest()
        return ArrivedFile(path=path, name=name, sha256=digest, size_bytes=size_bytes)

    def keep(self, arrived: ArrivedFile) -> Path:
        """Move the file to its shelf; its name is a digest of all its content, so that a retry lands on itself."""
        return _move(arrived.path, self._folder.instances / arrived.name[:2] / f"{arrived.name}.dcm")

    def set_aside(self, arrived: ArrivedFile) -> Path:
        """Move the file to the quarantine, once per content."""
        target = self._folder.quarantine / f"{arrived.name}.dcm"
        with _storage_errors():
            try:
                arrived.path.replace(target)
            except FileNotFoundError:
                if not target.exists():  # the same bytes came twice at the same time: the other one was faster
                    raise
            flush_folder(target.parent)
        return target

    def remove_aside(self, paths: Iterable[Path]) -> None:
        """Delete files of the quarantine, whose rows are gone."""
        with _storage_errors():
            for path in paths:
                path.unlink(missing_ok=True)

    def set_asides(self) -> tuple[Path, ...]:
        """Return all files of the quarantine."""
        with _storage_errors():
            return tuple(self._folder.quarantine.glob("*.dcm"))

    def discard(self, arrived: ArrivedFile) -> None:
        """Delete the file."""
        arrived.path.unlink(missing_ok=True)

    def result_folder(self, job_key: str) -> Path:
        """Return `results/<job key>`."""
        folder = self._folder.results / job_key
        with _storage_errors():
            folder.mkdir(exist_ok=True, mode=0o700)
            flush_folder(self._folder.results)
        return folder

    def remove_partial(self) -> int:
        """Delete all of `incoming`: none of it was acknowledged."""
        partial = list(self._folder.incoming.glob("*.part"))
        for path in partial:
            path.unlink(missing_ok=True)
        return len(partial)

    def _check_space(self) -> None:
        with _storage_errors():
            free_bytes = shutil.disk_usage(self._folder.root).free
        if free_bytes < self._reserve_bytes:
            raise OutOfSpaceError(
                f"{free_bytes} bytes are free in storage.folder, below storage.reserve_bytes ({self._reserve_bytes}); "
                "free some space, or the node takes nothing in"
            )


def _header(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta, enforce_standard=True)
    return PREAMBLE + buffer.getvalue()


def _write(stream: BinaryIO, header: bytes, dataset: Iterable[bytes | memoryview]) -> tuple[str, int]:
    digest, size_bytes = hashlib.sha256(), 0
    stream.write(header)
    for chunk in dataset:
        stream.write(chunk)
        digest.update(chunk)
        size_bytes += len(chunk)
    stream.flush()
    os.fsync(stream.fileno())
    return digest.hexdigest(), size_bytes


def _move(source: Path, target: Path) -> Path:
    with _storage_errors():
        source.replace(target)
        flush_folder(target.parent)
    return target


@contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except (ConnectionError, TimeoutError):
        raise  # the peer's connection broke while it was sending: not the disk's fault
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise OutOfSpaceError("the disk of storage.folder is full; free some space") from error
        raise StorageError(f"storage.folder cannot be written: {os.strerror(error.errno or 0)}") from error

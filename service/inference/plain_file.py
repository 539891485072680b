# SPDX-License-Identifier: Apache-2.0
"""Reads a file of a package: plain, of one name, not too large."""

import os
import stat
from pathlib import Path
from typing import Final

from service.domain.errors import PackageError

MAX_FILE_BYTES: Final = 1 << 30


def read_file(path: Path, *, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Return a plain file's content.

    Raises
    ------
    PackageError
        The file is missing, a link (symbolic or hard), not a plain file, or larger than `max_bytes`.
    """
    try:
        # NONBLOCK: opening a named pipe must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            _check_plain(os.fstat(descriptor), path, max_bytes=max_bytes)
            return stream.read(max_bytes)
    except OSError as error:
        raise PackageError(f"{path}: cannot be read ({error.strerror}); re-install the package") from None


def _check_plain(status: os.stat_result, path: Path, *, max_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PackageError(f"{path}: is not a plain file; a package holds plain files only")
    if status.st_nlink != 1:
        raise PackageError(
            f"{path}: has {status.st_nlink} names (hard links), so that another can change it; copy the package"
        )
    if status.st_size > max_bytes:
        raise PackageError(f"{path}: {status.st_size} bytes; at most {max_bytes} are allowed")

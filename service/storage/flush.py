# SPDX-License-Identifier: Apache-2.0
"""How bytes get onto the disk: flushed folders, and write-back that begins before it is asked for."""

import ctypes
import os
from pathlib import Path

SYNC_FILE_RANGE_WRITE = 2
"""sync_file_range(2): begin to write the dirty pages of the range, and wait for nothing."""

_sync_file_range = getattr(ctypes.CDLL(None, use_errno=True), "sync_file_range", None)
if _sync_file_range is not None:
    _sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]


def flush_folder(folder: Path | str) -> None:
    """Make the folder's entries durable: a rename is only on disk after this."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def begin_write_back(descriptor: int, offset: int, size_bytes: int) -> None:
    """Let the disk begin on a part of a file, so that it works while the rest arrives; promises nothing.

    Its result is of no use: whatever goes wrong, the fsync that follows says so. Only Linux has the call.
    """
    if _sync_file_range is not None:
        _sync_file_range(descriptor, offset, size_bytes, SYNC_FILE_RANGE_WRITE)

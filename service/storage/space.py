# SPDX-License-Identifier: Apache-2.0
"""Whether the disk has room for more: bytes and inodes, asked anew each time (3 microseconds), so that it is exact."""

import os
from pathlib import Path

MIN_FREE_INODES = 0.05
"""Share of a file system's inodes; below it nothing is taken in (a full table refuses every new file, results too)."""


def space_problem(folder: Path | str, reserve_bytes: int) -> str:
    """Return "" while there is room, else what is short and what to do.

    Raises
    ------
    OSError
        The folder is not there, or the disk is gone.
    """
    found = os.statvfs(folder)
    free_bytes = found.f_bavail * found.f_frsize
    if free_bytes < reserve_bytes:
        return (
            f"{free_bytes} bytes are free in storage.folder, below storage.reserve_bytes ({reserve_bytes}); "
            "free some space, or the node takes nothing in"
        )
    if found.f_files and found.f_favail < found.f_files * MIN_FREE_INODES:  # btrfs and others count none
        return (
            f"{found.f_favail} of {found.f_files} inodes are free on the file system of storage.folder, below "
            f"{MIN_FREE_INODES:.0%}; delete files there, or the node takes nothing in"
        )
    return ""

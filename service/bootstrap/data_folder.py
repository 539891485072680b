# SPDX-License-Identifier: Apache-2.0
"""The node's data folder: held by one process at a time, with the key that names studies in logs."""

import fcntl
import os
import secrets
from pathlib import Path

from service.domain.errors import ConfigurationError

KEY_BYTES = 32


class DataFolder:
    """The folder `storage.folder`; `hold` makes this process its only user until it ends.

    The lock is the operating system's, so that a killed process leaves none behind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def hold(self) -> None:
        """Make the folder, readable for this user alone, and lock it.

        Raises
        ------
        ConfigurationError
            The folder cannot be written, or another node uses it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self.path / "node.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"storage.folder '{self.path}' cannot be used: {error.strerror}; "
                "give the node a folder on a local disk that its user may write"
            ) from error
        self._lock_or_refuse(self._lock)

    def _lock_or_refuse(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.release()
            raise ConfigurationError(
                f"storage.folder '{self.path}' is in use by another Dokuei node; stop it, or give this one its own folder"
            ) from None

    def release(self) -> None:
        """Give the folder up; safe to call twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def site_key(self) -> bytes:
        """Return the key of this site, drawn at the first start (see domain.study.study_key)."""
        path = self.path / "site.key"
        if not path.exists():
            partial = path.with_suffix(".part")
            partial.write_bytes(secrets.token_bytes(KEY_BYTES))
            partial.chmod(0o600)
            partial.replace(path)
        return path.read_bytes()

# SPDX-License-Identifier: Apache-2.0
"""A number that takes long to find, shown at once: the last one, while the next is looked for beside the scrape."""

import threading
import time
from collections.abc import Callable

from service.domain.errors import StorageError


class Slowly:
    """Remembers what a function returned, and calls it again, in a thread of its own, when that is old.

    Parameters
    ----------
    find
        May raise StorageError; then there is no number until the next try.
    seconds
        How old a number may become before the next one is looked for.
    """

    def __init__(self, find: Callable[[], float], *, seconds: float) -> None:
        self._find, self._seconds = find, seconds
        self._lock = threading.Lock()
        self._value: float | None = None
        self._due_at = 0.0

    def __call__(self) -> float | None:
        """Return the last number; None before the first."""
        with self._lock:
            due = time.monotonic() >= self._due_at
            if due:
                self._due_at = time.monotonic() + self._seconds
        if due:
            threading.Thread(target=self._look, name="slow-gauge", daemon=True).start()
        return self._value

    def _look(self) -> None:
        try:
            self._value = self._find()
        except StorageError:
            self._value = None

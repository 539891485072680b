# SPDX-License-Identifier: Apache-2.0
"""How often pages are made and passwords are tried: who asks decides how often, and not what it costs the node."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

PAGES_PER_SECOND = 5.0
BURST = 20
AT_ONCE = 2
PATIENCE_SECONDS = 2.0
ATTEMPT_SECONDS = 300.0
"""Failed sign-ins are remembered for so long."""
KEYS = 4096
"""So many addresses and names are told apart; past that the ones of longest ago are forgotten."""


class BusyError(Exception):
    """So much is asked for that this is not answered now."""


class Turnstile:
    """Lets so many through per second, and so many at once."""

    def __init__(
        self,
        *,
        per_second: float = PAGES_PER_SECOND,
        burst: int = BURST,
        at_once: int = AT_ONCE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second, self._burst, self._monotonic = per_second, float(burst), monotonic
        self._left, self._at = self._burst, monotonic()
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(at_once)

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Run the block, or raise BusyError."""
        if not self._take() or not self._room.acquire(timeout=PATIENCE_SECONDS):
            raise BusyError
        try:
            yield
        finally:
            self._room.release()

    def _take(self) -> bool:
        with self._lock:
            now = self._monotonic()
            self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Attempts:
    """Counts what failed lately, by key; safe to call from any thread."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failed: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def number(self, key: str) -> int:
        """Return how often it failed lately."""
        with self._lock:
            return len(self._recent(key))

    def failed(self, keys: Iterable[str]) -> None:
        """Count a failure for each key."""
        with self._lock:
            for key in keys:
                self._failed[key] = [*self._recent(key), self._monotonic()]
                self._failed.move_to_end(key)
            while len(self._failed) > KEYS:
                self._failed.popitem(last=False)

    def forget(self, key: str) -> None:
        """Count from nothing again."""
        with self._lock:
            self._failed.pop(key, None)

    def _recent(self, key: str) -> list[float]:
        ends = self._monotonic() - ATTEMPT_SECONDS
        return [at for at in self._failed.get(key, ()) if at > ends]

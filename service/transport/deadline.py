# SPDX-License-Identifier: Apache-2.0
"""A hard limit on how long a conversation over a socket may take, whatever the other side does or does not do."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

FindSocket = Callable[[], socket.socket | None]


class Deadline:
    """Shuts a socket down when nothing moved for `seconds`, and at the latest after `total_seconds`."""

    def __init__(self, seconds: float, find_socket: FindSocket, *, total_seconds: float) -> None:
        self._seconds = seconds
        self._find_socket = find_socket
        self._last = time.monotonic() + total_seconds
        self._ends = time.monotonic() + seconds
        self._timer = self._arm(seconds)

    def progress(self) -> None:
        """Say that something moved."""
        self._ends = min(self._last, time.monotonic() + self._seconds)

    def cancel(self) -> None:
        """Let the socket live."""
        self._ends = float("inf")
        self._timer.cancel()

    def _arm(self, seconds: float) -> threading.Timer:
        timer = threading.Timer(seconds, self._look)
        timer.daemon = True
        timer.start()
        return timer

    def _look(self) -> None:
        left = self._ends - time.monotonic()
        if left <= 0:
            shut_down(self._find_socket())
        elif left < float("inf"):
            self._timer = self._arm(left)


@contextmanager
def deadline(seconds: float, find_socket: FindSocket, *, total_seconds: float | None = None) -> Iterator[Deadline]:
    """Shut the socket down after `seconds`, which ends any send or receive that another thread is blocked in.

    Socket timeouts bound one system call; a peer that answers one byte every few seconds passes all of them.
    `total_seconds` bounds a conversation whose `progress` is reported.
    """
    watch = Deadline(seconds, find_socket, total_seconds=total_seconds or seconds)
    try:
        yield watch
    finally:
        watch.cancel()


def shut_down(connection: socket.socket | None) -> None:
    """End both directions of a connection; silent when it has ended already."""
    if connection is None:
        return
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)

# SPDX-License-Identifier: Apache-2.0
"""Breaks what is being sent when the node stops: an archive that hangs must not hold the end of the process up."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from service.transport.deadline import shut_down

CONNECT_SECONDS = 5.0
"""Longest wait for TCP to connect, which nothing can break: a host that is there answers in milliseconds."""


class OpenConnections:
    """The sockets of one destination that are in use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._interrupted = False

    @contextmanager
    def holding(self, connection: socket.socket) -> Iterator[None]:
        """Let `interrupt` end this connection while the block runs; at once when it was called before."""
        with self._lock:
            self._sockets.add(connection)
            if self._interrupted:
                shut_down(connection)
        try:
            yield
        finally:
            with self._lock:
                self._sockets.discard(connection)

    def interrupt(self) -> None:
        """End all connections, now and from now on."""
        with self._lock:
            self._interrupted = True
            for connection in self._sockets:
                shut_down(connection)

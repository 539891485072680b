# SPDX-License-Identifier: Apache-2.0
"""Accepts connections within bounds and gives each a thread; nothing that a peer does can hold the accepting up."""

import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from service.transport.connection import Limits

BACKLOG = 128

Serve = Callable[[socket.socket, str], None]
"""Serves one connection from an address until it ends, in the connection's own thread."""
Dropped = Callable[[str, str], None]
"""Is told why a connection was dropped, as a slug, and its address."""


class Server:
    """A listening socket and the threads of its connections.

    Parameters
    ----------
    counts
        Connections by address; shared by the servers of one node, so that the bounds hold over all its ports.
    """

    def __init__(self, host: str, port: int, *, serve: Serve, dropped: Dropped, counts: "ConnectionCounts") -> None:
        self._serve = serve
        self._dropped = dropped
        self._counts = counts
        self._closing = False
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self._thread = threading.Thread(target=self._accept_all, name=f"accept-{self.port}", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Accept connections; returns at once."""
        self._thread.start()

    def close(self) -> None:
        """Stop accepting; connections live on."""
        self._closing = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread; closing alone does not
        if self._thread.is_alive():
            self._thread.join()
        self._listener.close()

    def _accept_all(self) -> None:
        while not self._closing:
            try:
                connection, place = self._listener.accept()
            except OSError:
                if not self._closing:
                    self._dropped("accept", "")  # out of file descriptors, or the peer has gone already
                    threading.Event().wait(0.1)
                continue
            self._begin(connection, str(place[0]))

    def _begin(self, connection: socket.socket, address: str) -> None:
        reason = self._counts.enter(address)
        if reason:
            self._dropped(reason, address)
            connection.close()
            return
        try:
            threading.Thread(target=self._run, args=(connection, address), name="association", daemon=True).start()
        except RuntimeError:  # no more threads
            self._counts.leave(address)
            self._dropped("threads", address)
            connection.close()

    def _run(self, connection: socket.socket, address: str) -> None:
        try:
            self._serve(connection, address)
        finally:
            self._counts.leave(address)


class ConnectionCounts:
    """How many connections there are from each address, within limits.

    Parameters
    ----------
    is_known
        Whether an address is one of the peers'; the others share a few places of their own.
    """

    def __init__(self, limits: Limits, *, is_known: Callable[[str], bool]) -> None:
        self._limits = limits
        self._is_known = is_known
        self._lock = threading.Lock()
        self._peers: Counter[str] = Counter()
        self._strangers: Counter[str] = Counter()

    def enter(self, address: str) -> str:
        """Count one more connection; returns why it may not be, "" when it may."""
        known = self._is_known(address)
        counts, most = (self._peers, self._limits.connections) if known else (self._strangers, self._limits.strangers)
        with self._lock:
            if counts.total() >= most:
                return "connections" if known else "strangers"
            if counts[address] >= self._limits.connections_per_address:
                return "connections_per_address"
            counts[address] += 1
            return ""

    def leave(self, address: str) -> None:
        """Count one connection less."""
        counts = self._peers if self._is_known(address) else self._strangers
        with self._lock:
            counts[address] -= 1
            if not counts[address]:
                del counts[address]

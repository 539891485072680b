# SPDX-License-Identifier: Apache-2.0
"""One TCP or TLS connection whose every wait ends: blocking calls that wake up now and then to look at the clock."""

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from service.transport.tcp import acknowledge_now, tune

TICK_SECONDS = 0.5
"""Longest that a thread stays in one system call: an idle connection costs two wake-ups a second."""
_TICK = struct.pack("ll", int(TICK_SECONDS), int(TICK_SECONDS % 1 * 1_000_000))
_NOT_NOW = (BlockingIOError, TimeoutError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

OnTick = Callable[[], None]
"""Called when nothing came for a tick; may raise to end the wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one peer may cost.

    `pdu_seconds` is the time from the first to the last byte of one PDU, in either direction, and between two PDUs of
    one message; `slowest_bytes_per_second` is asked of an object that has taken longer than `grace_seconds`.
    """

    pdu_bytes: int = 131_072
    pdu_seconds: float = 8
    negotiation_seconds: float = 5
    idle_seconds: float = 60
    object_bytes: int = 4_294_967_296
    slowest_bytes_per_second: int = 1_000
    grace_seconds: float = 60
    connections: int = 64
    connections_per_address: int = 32
    strangers: int = 16
    """Connections from addresses of no peer, all together: they must not take the places of those that are."""


class PeerBrokeLimitError(ConnectionError):
    """A peer passed one of the limits or broke the protocol; `reason` is a slug, the label of the metric."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ProtocolError(PeerBrokeLimitError):
    """The peer sent what PS3.8 does not allow here.

    Parameters
    ----------
    abort_reason
        Reason of the A-ABORT that answers it (PS3.8 table 9-26): 1 unrecognised PDU, 2 unexpected PDU,
        6 invalid parameter value.
    """

    def __init__(self, abort_reason: int = 2) -> None:
        super().__init__("protocol")
        self.abort_reason = abort_reason


class PeerClosedError(ConnectionError):
    """The peer ended the connection."""


class Connection:
    """A connected socket with deadlines.

    A plain socket stays blocking and the kernel ends each call after a tick (SO_RCVTIMEO), which saves the poll before
    every read that a Python timeout costs; OpenSSL would retry such a call for ever, so a TLS socket has a timeout.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        tune(connection)
        if isinstance(connection, ssl.SSLSocket):
            connection.settimeout(TICK_SECONDS)
        else:
            connection.settimeout(None)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TICK)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TICK)

    def receive(self, view: memoryview, *, ends: float, reason: str = "pdu_time", on_tick: OnTick | None = None) -> int:
        """Receive at least one byte into `view`; returns the number.

        Raises
        ------
        PeerBrokeLimitError
            Nothing came before the monotonic time `ends`, or it came after.
        PeerClosedError
            The peer closed or reset the connection.
        """
        while True:
            try:
                count = self._socket.recv_into(view)
            except _NOT_NOW:
                if time.monotonic() >= ends:
                    raise PeerBrokeLimitError(reason) from None
                if on_tick is not None:
                    on_tick()
                continue
            except (OSError, ValueError) as error:
                raise PeerClosedError(type(error).__name__) from error
            if not count:
                raise PeerClosedError("closed")
            if count < len(view):
                acknowledge_now(self._socket)  # we wait for more: a sender with Nagle's algorithm waits for this
            return count

    def send(self, data: bytes | bytearray | memoryview, *, stalled_seconds: float, ends: float = float("inf")) -> None:
        """Send all of `data`.

        Raises
        ------
        PeerBrokeLimitError
            The peer took nothing for `stalled_seconds`, or not all before the monotonic time `ends`.
        PeerClosedError
            The peer closed or reset the connection.
        """
        left = memoryview(data)
        moved_at = time.monotonic()
        while left:
            count = self._send_some(left)
            now = time.monotonic()
            if count:
                left, moved_at = left[count:], now
            if left and (now - moved_at >= stalled_seconds or now >= ends):
                raise PeerBrokeLimitError("send_time")

    @property
    def socket(self) -> socket.socket:
        """The socket."""
        return self._socket

    def readable(self, seconds: float) -> bool:
        """Say whether something can be received, or the peer has closed, within this time."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        return bool(select.select([self._socket], [], [], seconds)[0])

    def finish_sending(self) -> None:
        """Say that nothing more comes from us; a TLS connection says so when it is closed."""
        if not isinstance(self._socket, ssl.SSLSocket):
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End both directions; harmless when it has ended already."""
        with suppress(OSError, ValueError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            self._socket.close()

    def _send_some(self, data: memoryview) -> int:
        try:
            return self._socket.send(data)
        except _NOT_NOW:
            return 0
        except (OSError, ValueError) as error:
            raise PeerClosedError(type(error).__name__) from None

# SPDX-License-Identifier: Apache-2.0
"""TCP options of every DICOM connection, in both directions."""

import socket
from contextlib import suppress


def tune(connection: socket.socket) -> None:
    """Set TCP options: no Nagle delay, and a peer that lost power is noticed within 45 s."""
    options = [("TCP_NODELAY", 1), ("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options:
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def acknowledge_now(connection: socket.socket) -> None:
    """Acknowledge what was read at once: a sender with Nagle's algorithm on (most modalities) waits 40 ms otherwise."""
    if hasattr(socket, "TCP_QUICKACK"):
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

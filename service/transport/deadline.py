# SPDX-License-Identifier: Apache-2.0
"""A hard limit on how long a conversation over a socket may take, whatever the other side does or does not do."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Expiry:
    """Whether a deadline struck."""

    def __init__(self) -> None:
        self.struck = False


@contextmanager
def deadline(seconds: float, find_socket: Callable[[], socket.socket | None]) -> Iterator[Expiry]:
    """Shut the socket down after `seconds`, which ends any send or receive that another thread is blocked in.

    Socket timeouts bound one system call; a peer that answers one byte every few seconds passes all of them.
    """
    expiry = Expiry()

    def strike() -> None:
        expiry.struck = True
        shut_down(find_socket())

    timer = threading.Timer(seconds, strike)
    timer.daemon = True
    timer.start()
    try:
        yield expiry
    finally:
        timer.cancel()


def shut_down(connection: socket.socket | None) -> None:
    """End both directions of a connection; silent when it has ended already."""
    if connection is None:
        return
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)

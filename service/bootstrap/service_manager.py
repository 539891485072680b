# SPDX-License-Identifier: Apache-2.0
"""Tells systemd that the node is ready, lives and stops (sd_notify(3)); does nothing where no systemd asks."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"
BEATS = 3
"""As many signs of life within the time that systemd gives the node."""


def tell(state: str) -> bool:
    """Send a state; return whether anybody was told.

    A service manager that does not listen is no reason to end a node that works, so that no error is raised.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect("\0" + address[1:] if address.startswith("@") else address)
            channel.sendall(state.encode())
    except OSError:
        return False
    return True


@contextmanager
def heartbeat(alive: Callable[[], bool]) -> Iterator[None]:
    """Send signs of life while `alive` says so, as often as WatchdogSec= needs; systemd restarts a wedged node."""
    allowed_us = int(os.environ.get("WATCHDOG_USEC") or 0)
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(allowed_us / 1e6 / BEATS):
            if alive():
                tell(ALIVE)

    if allowed_us:
        threading.Thread(target=beat, name="heartbeat", daemon=True).start()
    try:
        yield
    finally:
        ended.set()

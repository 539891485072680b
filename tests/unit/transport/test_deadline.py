# SPDX-License-Identifier: Apache-2.0
"""A deadline ends what a socket timeout cannot."""

import socket
import threading
import time
from contextlib import closing

from service.transport.deadline import deadline


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


def test_ends_a_blocked_receive() -> None:
    left, right = pair()
    with closing(left), closing(right):
        started = time.monotonic()
        with deadline(0.3, lambda: left):
            assert left.recv(1) == b""
        assert 0.2 < time.monotonic() - started < 3


def test_progress_postpones_it_up_to_the_total() -> None:
    left, right = pair()
    with closing(left), closing(right):
        started = time.monotonic()
        with deadline(0.4, lambda: left, total_seconds=1.2) as watch:
            stop = threading.Event()

            def move() -> None:
                while not stop.wait(0.1):
                    watch.progress()

            mover = threading.Thread(target=move)
            mover.start()
            assert left.recv(1) == b""
            stop.set()
            mover.join()
        assert 1.0 < time.monotonic() - started < 4


def test_leaves_the_socket_alone_when_it_is_over() -> None:
    left, right = pair()
    with closing(left), closing(right):
        with deadline(0.1, lambda: left):
            pass
        time.sleep(0.3)
        right.sendall(b"x")
        assert left.recv(1) == b"x"

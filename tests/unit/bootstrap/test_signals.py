# SPDX-License-Identifier: Apache-2.0
"""Signals are kept in order and answered outside of their handler; a second stop ends the process."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from service.bootstrap.signals import OTHERS, STOPS, SignalQueue


@pytest.fixture
def queue() -> Iterator[SignalQueue]:
    before = {number: signal.getsignal(number) for number in (*STOPS, *OTHERS)}
    yield SignalQueue()
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_come_in_their_order(queue: SignalQueue) -> None:
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
        os.kill(os.getpid(), number)
    assert [queue.get() for _ in range(3)] == [signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM]


def test_a_flood_of_signals_blocks_nobody(queue: SignalQueue) -> None:
    for _ in range(70_000):
        signal.raise_signal(signal.SIGUSR1)
    assert queue.get() is signal.SIGUSR1


def test_a_second_stop_ends_the_process_at_once() -> None:
    program = """
        import os, signal, threading
        from service.bootstrap.signals import SignalQueue
        queue = SignalQueue()
        held = threading.Lock()
        held.acquire()  # what the node may hold when it is interrupted
        os.kill(os.getpid(), signal.SIGTERM)
        print(queue.get().name, flush=True)
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (answer.stdout, answer.returncode) == ("SIGTERM\n", 128 + signal.SIGINT), answer.stderr

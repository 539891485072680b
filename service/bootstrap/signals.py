# SPDX-License-Identifier: Apache-2.0
"""Signals as a queue: a handler interrupts whatever runs, so that nothing is done in one.

A handler that logs, counts or sets an event may wait for ever for a lock that the code which it interrupted holds.
"""

import os
import signal
from types import FrameType
from typing import Final

STOPS: Final = (signal.SIGTERM, signal.SIGINT)
OTHERS: Final = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class SignalQueue:
    """Takes signals from now on; a second one of those that stop ends the process at once.

    Make it in the main thread, before anything is opened: what comes while the node starts is kept until `get`.
    """

    def __init__(self) -> None:
        self._stopped = False
        self._reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)  # the interpreter writes the numbers, in any thread
        for number in (*STOPS, *OTHERS):
            signal.signal(number, self._taken)

    def get(self) -> signal.Signals:
        """Return the next signal; blocks until there is one."""
        return signal.Signals(os.read(self._reading, 1)[0])

    def _taken(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of the OS
        if number in STOPS:
            if self._stopped:
                os._exit(128 + number)
            self._stopped = True

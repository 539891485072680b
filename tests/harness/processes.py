# SPDX-License-Identifier: Apache-2.0
"""Starts and stops the programs that tests talk to."""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}
"""DCMTK and Orthanc stall 40 ms per message without it."""


FIRST_PORT, PORTS_PER_WORKER = 12_000, 2_000
"""Below the kernel's own choices (32768 and up): no outgoing connection takes a port between its choice and its use."""


PAUSE_SHARE = 4.0
"""How long `wait_until` pauses after a look, in times of what the look took: it takes a fifth of a core at most."""
LONGEST_PAUSE_SECONDS = 1.0


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on, of this test worker's own range."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = FIRST_PORT + worker * PORTS_PER_WORKER + secrets.randbelow(PORTS_PER_WORKER)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Poll until the condition holds; fails naming what did not happen.

    A look that takes long (a whole log, a list of studies) is taken less often: on a machine that all tests share, they
    would wait for each other's looks.
    """
    ends = time.monotonic() + seconds
    while (looked := time.monotonic()) < ends:
        if condition():
            return
        time.sleep(min(LONGEST_PAUSE_SECONDS, max(0.05, PAUSE_SHARE * (time.monotonic() - looked))))
    raise TimeoutError(f"after {seconds:g} s: {what}")


class Program:
    """A program that runs until it is stopped; its output goes to a file."""

    def __init__(self, command: Sequence[str], *, log: Path, environment: dict[str, str] | None = None) -> None:
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment or ENVIRONMENT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_status(self) -> int:
        """Exit status of a program that has ended, negative for a signal."""
        status = self._process.poll()
        if status is None:
            raise RuntimeError(f"{self._process.args} still runs")
        return int(status)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait_for_port(self, port: int, *, seconds: float = 30) -> None:
        """Wait until the program listens; fails with its output when it ends instead."""
        wait_until(lambda: listens(port) or not self.runs, seconds=seconds, what=f"nothing listens on {port}")
        if not self.runs:
            raise RuntimeError(f"{self._process.args} ended: {self.log.read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        """End it at once, without warning."""
        self._process.kill()
        self._process.wait(timeout=10)

    def stop(self, *, seconds: float = 10) -> None:
        """Ask it to end, then insist."""
        self._process.terminate()
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()

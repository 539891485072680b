# SPDX-License-Identifier: Apache-2.0
"""What a process costs, read from /proc: memory now and at its peak, threads, open files, processor time."""

import os
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.processes import wait_until
from harness.wire import echo_seconds

MIB = 1 << 20
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Cost:
    """The running cost of one process."""

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)

    @property
    def rss_bytes(self) -> int:
        """Resident memory."""
        return self._kilobytes("VmRSS") * 1024

    @property
    def peak_bytes(self) -> int:
        """The most resident memory since `forget_peak`."""
        return self._kilobytes("VmHWM") * 1024

    def forget_peak(self) -> None:
        (self._folder / "clear_refs").write_text("5")

    @property
    def threads(self) -> int:
        return self._kilobytes("Threads")

    @property
    def files(self) -> int:
        """Open file descriptors."""
        return len(list((self._folder / "fd").iterdir()))

    def open_files(self) -> dict[str, int]:
        """What the open file descriptors are of, and how many of each."""
        names = []
        for link in (self._folder / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                names.append(str(link.readlink()).partition(":")[0])
        return dict(Counter(names))

    @property
    def cpu_seconds(self) -> float:
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def share_of_a_core(self, *, seconds: float) -> float:
        """Watch the process for some time; return the processor time that it used, as a share of one core."""
        before, started = self.cpu_seconds, time.monotonic()
        time.sleep(seconds)
        return (self.cpu_seconds - before) / (time.monotonic() - started)

    def _kilobytes(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


class Growth:
    """How much more memory a process took, at its peak, within a block."""

    def __init__(self, cost: Cost) -> None:
        self._cost = cost
        self.bytes = 0

    def __enter__(self) -> Self:
        self._cost.forget_peak()
        self._before = self._cost.rss_bytes
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bytes = self._cost.peak_bytes - self._before

    def wait_for(self, size: int, *, seconds: float = 15.0) -> None:
        """Wait until the process has taken that much more; fails when it does not."""
        grown = lambda: self._cost.peak_bytes - self._before >= size  # noqa: E731
        wait_until(grown, seconds=seconds, what=f"memory did not grow by {size} bytes")


class Bystander:
    """A known peer, at an address of its own, that asks C-ECHO all the time while somebody else attacks."""

    ADDRESS = "127.0.0.2"

    def __init__(self, port: int, *, pause_seconds: float = 0.2) -> None:
        self._port = port
        self._pause_seconds = pause_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(30)
        self._once()  # and afterwards

    def _ask(self) -> None:
        while not self._stop.is_set():
            self._once()
            self._stop.wait(self._pause_seconds)

    def _once(self) -> None:
        try:
            self.seconds.append(echo_seconds(self._port, address=self.ADDRESS))
        except (OSError, KeyError) as error:
            self.failures.append(f"{type(error).__name__}: {error}")

    def check(self, *, seconds: float = 1.0) -> None:
        """Fail unless every C-ECHO was answered, each within `seconds`."""
        assert not self.failures, self.failures[:5]
        assert self.seconds
        assert max(self.seconds) < seconds, f"slowest C-ECHO {max(self.seconds):.2f} s"

# SPDX-License-Identifier: Apache-2.0
"""What the machine says when it is scraped: the kernel's clock, and what the child processes take of its memory."""

import ctypes
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.ports.statistics import Workers

TIME_ERROR = 5
"""adjtimex(2): what it returns while nothing disciplines the clock."""
STA_NANO = 0x2000
"""adjtimex(2): the offset is in nanoseconds, not microseconds."""
STATES = ("warm", "starting")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockState:
    """The kernel's clock as whatever disciplines it (chrony, ntpd, systemd-timesyncd) has left it; times in seconds."""

    synchronised: bool
    offset: float
    max_error: float


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), as far as it is read; the rest is room for what the kernel writes."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    )


def read_clock() -> ClockState | None:
    """Ask the kernel, which needs no privilege and changes nothing; None where it does not answer (a sandbox)."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return None
    found = _Timex()
    state = adjtimex(ctypes.byref(found))
    if state < 0:
        return None
    parts_of_a_second = 1e9 if found.status & STA_NANO else 1e6
    return ClockState(
        synchronised=state != TIME_ERROR, offset=found.offset / parts_of_a_second, max_error=found.maxerror / 1e6
    )


class ClockGauges(Collector):
    """Whether the clock is right: results and audit messages carry its time."""

    def __init__(self, read: Callable[[], ClockState | None] = read_clock) -> None:
        self._read = read

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metrics."""
        yield from _clock(ClockState(synchronised=True, offset=0, max_error=0))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Ask the kernel; where it does not answer there is nothing to say."""
        state = self._read()
        if state is not None:
            yield from _clock(state)


class WorkerGauges(Collector):
    """The child processes by role and state: their number, and the memory that those of a role hold.

    They are asked for in the parent and carry no process id, so that a child that was replaced leaves no series behind.
    """

    def __init__(self, census: Callable[[], Mapping[str, Workers]]) -> None:
        self._census = census

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metrics."""
        yield from _workers({})

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Ask the node which children it has, and the kernel what they take."""
        yield from _workers(self._census())


def resident_bytes(process_id: int) -> int:
    """Return the memory that a process holds; 0 when it has ended meanwhile."""
    try:
        pages = int(Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _clock(state: ClockState) -> Iterator[GaugeMetricFamily]:
    yield GaugeMetricFamily(
        "dokuei_clock_synchronised", "1 while something disciplines the kernel's clock.", float(state.synchronised)
    )
    yield GaugeMetricFamily(
        "dokuei_clock_offset_seconds", "What the kernel has yet to correct of its clock.", state.offset
    )
    yield GaugeMetricFamily(
        "dokuei_clock_max_error_seconds", "How wrong the clock may be, by the kernel's own bound.", state.max_error
    )


def _workers(census: Mapping[str, Workers]) -> Iterator[GaugeMetricFamily]:
    number = GaugeMetricFamily("dokuei_workers", "Child processes.", labels=["role", "state"])
    memory = GaugeMetricFamily("dokuei_worker_resident_bytes", "Memory of child processes.", labels=["role"])
    for role, workers in sorted(census.items()):
        for state, value in zip(STATES, (workers.warm, workers.starting), strict=True):
            number.add_metric([role, state], value)
        memory.add_metric([role], sum(map(resident_bytes, workers.process_ids)))
    yield number
    yield memory

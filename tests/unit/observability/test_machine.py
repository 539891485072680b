# SPDX-License-Identifier: Apache-2.0
"""The kernel's clock and the memory of child processes, from the real kernel."""

import os
import subprocess
import sys

from prometheus_client import CollectorRegistry

from service.observability.machine import ClockGauges, ClockState, WorkerGauges, read_clock, resident_bytes
from service.ports.statistics import Workers


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_the_kernel_says_how_its_clock_is() -> None:
    state = read_clock()
    assert state is not None
    assert abs(state.offset) < 1
    assert 0 <= state.max_error < 3600


def test_the_clock_is_shown() -> None:
    registry = CollectorRegistry()
    registry.register(ClockGauges(lambda: ClockState(synchronised=False, offset=-0.25, max_error=16)))
    assert value(registry, "dokuei_clock_synchronised") == 0
    assert value(registry, "dokuei_clock_offset_seconds") == -0.25
    assert value(registry, "dokuei_clock_max_error_seconds") == 16


def test_a_kernel_that_does_not_answer_leaves_no_series() -> None:
    registry = CollectorRegistry()
    registry.register(ClockGauges(lambda: None))
    assert list(registry.collect()) == []


def test_memory_of_a_process_is_what_the_kernel_says() -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", "x = bytearray(100_000_000); print('there', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert program.stdout is not None
    program.stdout.readline()
    assert 100_000_000 < resident_bytes(program.pid) < 200_000_000
    program.communicate(b"\n")
    assert resident_bytes(program.pid) == 0


def test_children_are_counted_by_role_without_their_numbers() -> None:
    registry = CollectorRegistry()
    census = {
        "active": Workers(warm=1, starting=1, process_ids=(os.getpid(), os.getpid())),
        "shadow": Workers(warm=0, starting=0, process_ids=()),
    }
    registry.register(WorkerGauges(lambda: census))
    assert value(registry, "dokuei_workers", role="active", state="warm") == 1
    assert value(registry, "dokuei_workers", role="active", state="starting") == 1
    assert value(registry, "dokuei_workers", role="shadow", state="warm") == 0
    assert (value(registry, "dokuei_worker_resident_bytes", role="active") or 0) > 2 * 10_000_000
    assert value(registry, "dokuei_worker_resident_bytes", role="shadow") == 0

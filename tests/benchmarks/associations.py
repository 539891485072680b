# SPDX-License-Identifier: Apache-2.0
"""What associations cost: setting one up, a hundred idle ones, sixteen busy ones, and CPU time for each GB."""

import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from harness.proc import cpu_seconds, forget_peak_memory, memory_mb
from harness.processes import wait_until
from harness.scripted import association_request, read_pdu
from tests.benchmarks.bench import Bench
from tests.benchmarks.measure import Measurement, alone, compared, interleaved
from tests.benchmarks.objects import CT, TINY, huge_dataset
from tests.benchmarks.receivers import (
    DCMTK,
    DOKUEI,
    ORTHANC,
    PYNETDICOM,
    NodeReceiver,
    Receiver,
    not_flushed,
    running,
)
from tests.benchmarks.receiving import ours

CT_IMAGE_STORAGE = CT.sop_class_uid
IDLE_ASSOCIATIONS = 100


def measure_set_up(bench: Bench) -> Iterator[Measurement]:
    """Measure connect, A-ASSOCIATE and A-RELEASE, one after another; each value is the median of many."""
    number = 20 if bench.quick else 100
    dataset = bench.template(TINY).dataset

    def run(receiver: Receiver) -> Callable[[], float]:
        def once() -> float:
            return bench.blast(receiver, CT_IMAGE_STORAGE, dataset, count=0, senders=1).associate_and_release_ms

        return lambda: statistics.median(once() for _ in range(number))

    makers = {**not_flushed(bench.memory / "receivers"), DOKUEI: lambda: NodeReceiver(bench.memory / "node")}
    with running(makers, (DOKUEI, DCMTK, ORTHANC, PYNETDICOM)) as receivers:
        found = interleaved({name: run(each) for name, each in receivers.items()}, repeats=bench.repeats)
    yield alone("association set-up and release", "ms", found[DOKUEI])
    yield from compared("association set-up and release", "ms", found, ours=DOKUEI)
    bench.advance("association set-up")


def measure_idle(bench: Bench) -> Iterator[Measurement]:
    """Measure the node's CPU time with a hundred associations that say nothing, and with none."""
    seconds = 5.0 if bench.quick else 20.0
    node = NodeReceiver(bench.memory / "idle")
    with running({DOKUEI: lambda: node}):
        wait_until(lambda: node.http("/readyz")[0] == 200, seconds=300, what="the node is not ready")
        time.sleep(2)
        before = _cpu_percent(node.pid, seconds)
        with associations(node, IDLE_ASSOCIATIONS):
            memory = memory_mb(node.pid)
            during = _cpu_percent(node.pid, seconds)
    yield alone(f"{IDLE_ASSOCIATIONS} idle associations", "% of a core", [max(0.0, during - before)])
    yield alone("the idle node without associations", "% of a core", [before])
    yield alone(f"memory with {IDLE_ASSOCIATIONS} idle associations", "MB", [memory])
    bench.advance("idle associations")


def _cpu_percent(pid: int, seconds: float) -> float:
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return 100 * (cpu_seconds(pid) - before) / seconds


def associations(node: NodeReceiver, number: int) -> ExitStack:
    """Open associations and return what closes them."""
    with ExitStack() as stack:
        for _ in range(number):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", node.port), timeout=10))
            connection.sendall(association_request(sop_class=CT_IMAGE_STORAGE))
            kind, _answer = read_pdu(connection)
            if kind != 2:
                raise RuntimeError(f"the node answered an association request with a PDU of type {kind}")
        return stack.pop_all()


def measure_memory(bench: Bench) -> Iterator[Measurement]:
    """Measure the memory of the node while sixteen associations send CT."""
    node = NodeReceiver(bench.disk / "memory")
    count = 8 if bench.quick else 40
    with running({DOKUEI: lambda: node}):
        wait_until(lambda: node.http("/readyz")[0] == 200, seconds=300, what="the node is not ready")
        before = memory_mb(node.pid)
        forget_peak_memory(node.pid)
        bench.blast(node, CT_IMAGE_STORAGE, bench.template(CT).dataset, count=count, senders=16)
        peak = memory_mb(node.pid, "VmHWM")
    yield alone("16 associations sending CT: memory of the node", "MB", [peak])
    yield alone("16 associations sending CT: growth of memory", "MB", [peak - before])
    bench.advance("memory of 16 associations")


def measure_huge_object(bench: Bench) -> Iterator[Measurement]:
    """Measure how the node's memory grows while it takes one object of 2 GiB (quick: 256 MiB)."""
    size_bytes = 2**28 if bench.quick else 2**31
    dataset = huge_dataset(bench.memory, size_bytes=size_bytes)
    name = f"one object of {size_bytes // 2**20} MiB: growth of memory"
    node = NodeReceiver(bench.disk / "huge")
    with running({DOKUEI: lambda: node}):
        bench.blast(node, CT_IMAGE_STORAGE, bench.template(CT).dataset, count=4, senders=1)
        before = memory_mb(node.pid)
        forget_peak_memory(node.pid)
        done = bench.blast(node, CT_IMAGE_STORAGE, dataset, count=1, senders=1)
        growth = memory_mb(node.pid, "VmHWM") - before
        node.empty()
    dataset.unlink()
    if done.failures:
        raise RuntimeError(f"the object was refused with 0x{done.first_failure:04X}")
    yield alone(name, "MB", [growth])
    yield alone(name.replace("growth of memory", "speed"), "MB/s", [done.bytes / 1e6 / done.seconds])
    bench.advance(name)


def measure_cpu(bench: Bench) -> Iterator[Measurement]:
    """Measure CPU seconds for each GB of CT, of the receiver with all its processes, with four senders."""
    template, senders = bench.template(CT), 4
    count = 60 if bench.quick else 400

    def run(receiver: Receiver) -> Callable[[], float]:
        def once() -> float:
            before = cpu_seconds(receiver.pid)
            done = bench.blast(receiver, CT_IMAGE_STORAGE, template.dataset, count=count, senders=senders)
            time.sleep(0.3)  # forked children end, and are waited for
            used = cpu_seconds(receiver.pid) - before
            receiver.empty()
            return used / (done.bytes / 1e9)

        return once

    with running(not_flushed(bench.memory / "receivers"), (ours(), DCMTK, ORTHANC)) as receivers:
        found = interleaved({name: run(each) for name, each in receivers.items()}, repeats=bench.repeats)
    yield from compared(f"CPU per GB, {CT.name}, {senders} senders, not flushed", "s/GB", found, ours=ours())
    bench.advance("CPU per GB")

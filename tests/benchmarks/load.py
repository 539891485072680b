# SPDX-License-Identifier: Apache-2.0
"""The node under steady load: a hundred CT slices a second, flushed; small commits; a start with a long ledger."""

import time
from collections.abc import Iterator

from harness.proc import file_system, forget_peak_memory, memory_mb
from tests.benchmarks.bench import Bench, timed
from tests.benchmarks.measure import Measurement, alone
from tests.benchmarks.objects import CT, TINY
from tests.benchmarks.receivers import DOKUEI, NodeReceiver, running

RATE = 100.0


def measure_steady(bench: Bench) -> Iterator[Measurement]:
    """Send 100 CT a second for `load_seconds` from 4 senders and from 8, and look at memory, loss and waiting."""
    seconds = 5.0 if bench.quick else bench.load_seconds
    template = bench.template(CT)
    for senders in (4, 8):
        node = NodeReceiver(bench.disk / f"steady-{senders}")
        with running({DOKUEI: lambda node=node: node}):  # type: ignore[misc]
            forget_peak_memory(node.pid)
            count = round(RATE * seconds / senders)
            done = bench.blast(node, template.sop_class_uid, template.dataset, count=count, senders=senders, rate=RATE)
            memory = memory_mb(node.pid, "VmHWM")
            kept = sum(1 for _ in node.folder.glob("data/instances/*/*.dcm"))
            node.empty()
        name = f"steady {RATE:g} CT a second on {file_system(bench.disk)} for {seconds:g} s, {senders} senders"
        yield alone(f"{name}: reached", "objects/s", [done.stored / done.seconds])
        yield alone(f"{name}: refused or lost", "objects", [count * senders - min(done.stored, kept)])
        yield alone(f"{name}: memory", "MB", [memory])
        yield alone(f"{name}: p99 of the response", "s", [done.p99_seconds])
        bench.advance(name)


def measure_journal(bench: Bench) -> Iterator[Measurement]:
    """Send very small instances, each of which is a commit; then stop and start with all their rows."""
    template, total = bench.template(TINY), 2_000 if bench.quick else 100_000
    node = NodeReceiver(bench.disk / "journal")
    with running({DOKUEI: lambda: node}):
        done = bench.blast(node, template.sop_class_uid, template.dataset, count=total // 8, senders=8)
        yield alone("durable instances of 1 kB, 8 senders", "objects/s", [done.stored / done.seconds])
        bench.advance("small commits")
        node.stop()
        seconds = timed(node.start)
        time.sleep(1)
        yield alone(f"restart with {done.stored} instances in the ledger", "s", [seconds])
        bench.advance("restart")

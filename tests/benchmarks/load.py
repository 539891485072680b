# SPDX-License-Identifier: Apache-2.0
"""The node under steady load: a hundred CT slices a second, flushed; small commits; a start with a long ledger."""

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.node import NodeProgram
from harness.orthanc import Orthanc
from harness.proc import file_system, forget_peak_memory, memory_mb
from service.domain.instance import Instance
from service.storage import SqlLedger, create_database, migrate
from tests.benchmarks.bench import Bench, timed
from tests.benchmarks.measure import Measurement, alone
from tests.benchmarks.objects import CT, TINY
from tests.benchmarks.receivers import DOKUEI, NodeReceiver, running

RATE = 100.0
BURST_STUDIES, BURST_SENDERS, SLICES_PER_STUDY = 50, 5, 300
BURST_SECONDS = 180.0
DRAIN_SECONDS = 3600.0
"""A burst that is not worked off by then counts as lost."""


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


def measure_commits(bench: Bench) -> Iterator[Measurement]:
    """Enter instances into the ledger from 8 threads, each waiting for its commit, with no file and no network."""
    each = 25 if bench.quick else 250
    rates = [_commits_a_second(bench.disk / f"commits-{repeat}", each=each) for repeat in range(bench.repeats)]
    yield alone("instances entered into the ledger and committed, 8 threads", "commits/s", rates)
    bench.advance("commits")


def _commits_a_second(folder: Path, *, each: int) -> float:
    folder.mkdir()
    database = create_database(folder)
    migrate(database)
    ledger = SqlLedger(database, root=folder, enqueue=lambda _connection, _task: None)

    def enter(thread: int) -> None:
        for number in range(each):
            entry = _entry(folder, thread * each + number)
            ledger.together(lambda transaction, entry=entry: transaction.studies.add_instance(entry, peer="p", at=0.0))

    with ThreadPoolExecutor(8) as pool:
        seconds = timed(lambda: list(pool.map(enter, range(8))))
    database.dispose()
    return 8 * each / seconds


def _entry(folder: Path, number: int) -> Instance:
    return Instance(
        sop_instance_uid=f"1.2.{number}",
        sop_class_uid=CT.sop_class_uid,
        study_instance_uid=f"1.3.{number // 300}",
        series_instance_uid=f"1.4.{number // 300}",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=folder / f"{number}.dcm",
        sha256=f"{number:064x}",
        size_bytes=525_000,
        attributes={"Modality": "CT", "Rows": 512, "Columns": 512, "ImageType": ("ORIGINAL", "PRIMARY", "AXIAL")},
    )


def measure_journal(bench: Bench) -> Iterator[Measurement]:
    """Send very small instances, each of which is a commit; then stop and start with all their rows."""
    template, total = bench.template(TINY), 2_000 if bench.quick else 100_000
    node = NodeReceiver(bench.disk / "journal")
    with running({DOKUEI: lambda: node}):
        done = bench.blast(node, template.sop_class_uid, template.dataset, count=total // 8, senders=8)
        yield alone("durable instances of 1 kB, 8 senders", "objects/s", [done.stored / done.seconds])
        bench.advance("small commits")
        node.stop()
        seconds = timed(lambda: NodeProgram.start(node))  # until it takes associations; children warm up meanwhile
        time.sleep(1)
        yield alone(f"restart with {done.stored} instances in the ledger", "s", [seconds])
        bench.advance("restart")


def measure_burst(bench: Bench) -> Iterator[Measurement]:
    """Send 50 CT studies of 300 slices in three minutes to a node that analyses and answers each of them.

    The slices of a study have all the same position: every study ends in a report that says why it was not analysed,
    after all its headers were read. What a burst of analysed studies takes is inference, which other lines measure.
    """
    studies = BURST_SENDERS if bench.quick else BURST_STUDIES
    orthanc = Orthanc(bench.disk / "burst-orthanc")
    node = NodeProgram(bench.disk / "burst", pacs=(orthanc.ae_title, orthanc.dicom_port))
    node.change({"log": {"level": "warning"}, "close": {"quiet_seconds": 30, "settle_seconds": 10}})
    orthanc.start()
    node.start()
    try:
        yield from _burst(bench, node, studies)
    finally:
        node.stop()
        orthanc.stop()
        shutil.rmtree(node.folder)


def _burst(bench: Bench, node: NodeProgram, studies: int) -> Iterator[Measurement]:
    template, count = bench.template(CT), studies // BURST_SENDERS * SLICES_PER_STUDY
    rate = BURST_STUDIES * SLICES_PER_STUDY / BURST_SECONDS
    done = bench.blast(node, template.sop_class_uid, template.dataset, count=count, senders=BURST_SENDERS, rate=rate)
    ended = time.monotonic()
    name = f"burst of {studies} CT studies of {SLICES_PER_STUDY} slices, {rate:.0f} a second"
    yield alone(f"{name}: reached", "objects/s", [done.stored / done.seconds])
    yield alone(f"{name}: refused", "objects", [done.failures])
    yield alone(f"{name}: p99 of the response", "s", [done.p99_seconds])
    bench.advance("burst is in")
    finished = node.wait_for_results(studies, seconds=DRAIN_SECONDS)
    yield alone(f"{name}: all answered after the last image", "s", [time.monotonic() - ended])
    yield alone(f"{name}: studies without an answer", "studies", [studies - len(finished)])
    yield alone(f"{name}: memory", "MB", [memory_mb(node.pid, "VmHWM")])
    bench.advance("burst is answered")

# SPDX-License-Identifier: Apache-2.0
"""How fast images come in: from a sender that is never the limit, from DCMTK's senders, flushed and not."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.proc import file_system
from harness.processes import ENVIRONMENT
from tests.benchmarks.bench import Bench, settle_disk, timed
from tests.benchmarks.measure import Measurement, compared, interleaved
from tests.benchmarks.objects import CT, DX, MG, SMALL, Kind, Template
from tests.benchmarks.programs import compiled, run_json
from tests.benchmarks.receivers import (
    BARE,
    DCMTK,
    DOKUEI,
    ORTHANC,
    NodeReceiver,
    OrthancReceiver,
    Receiver,
    StoreScpReceiver,
    can_be_unsafe,
    not_flushed,
    running,
)

KINDS = (CT, DX, MG, SMALL)
WARM_OBJECTS = {CT.name: 8, DX.name: 2, MG.name: 1, SMALL.name: 40}
UNMODIFIED = {key: value for key, value in ENVIRONMENT.items() if key != "TCP_NODELAY"}
AS_IT_COMES = "DCMTK storescp --fork, as it comes"
WRITERS = {"C program: write, fsync": "fsync", "C program: write, fsync, rename, fsync of folder": "rename"}


def not_flushed_benchmarks() -> dict[str, Callable[[Bench], Iterator[Measurement]]]:
    """One benchmark for each kind of object."""
    return {f"receive-not-flushed-{kind.name.replace(' ', '-')}": _of_kind(kind, measure_not_flushed) for kind in KINDS}


def durable_benchmarks() -> dict[str, Callable[[Bench], Iterator[Measurement]]]:
    """One benchmark for each kind of object."""
    return {f"receive-durable-{kind.name.replace(' ', '-')}": _of_kind(kind, measure_durable) for kind in KINDS}


def dcmtk_sender_benchmarks() -> dict[str, Callable[[Bench], Iterator[Measurement]]]:
    """One benchmark for each kind of object, and the sender as it comes."""
    found = {f"receive-from-storescu-{kind.name.replace(' ', '-')}": _of_kind(kind, measure_storescu) for kind in KINDS}
    return {**found, "receive-from-dcmsend": measure_dcmsend, "receive-from-unmodified-storescu": measure_stall}


def _of_kind(
    kind: Kind, measure: Callable[[Bench, Kind], Iterator[Measurement]]
) -> Callable[[Bench], Iterator[Measurement]]:
    return lambda bench: measure(bench, kind)


def ours() -> str:
    """The form of our receiver that flushes nothing: the node itself where it can."""
    return DOKUEI if can_be_unsafe() else BARE


def measure_not_flushed(bench: Bench, kind: Kind) -> Iterator[Measurement]:
    """Measure all receivers on tmpfs."""
    template = bench.template(kind)
    with running(not_flushed(bench.memory / "receivers")) as receivers:
        for senders in bench.senders:
            runs = {name: Blast(bench, each, template, senders=senders) for name, each in receivers.items()}
            found = interleaved(runs, repeats=bench.repeats)
            name = f"receive (not flushed) {kind.name}, {_senders(senders)}, blast"
            yield from compared(name, kind.unit, found, ours=ours())
            bench.advance(name)


def measure_durable(bench: Bench, kind: Kind) -> Iterator[Measurement]:
    """Measure the whole node, flushing all, on a real file system, beside C programs that only write and flush."""
    template = bench.template(kind)
    folder = bench.disk / "receivers"
    place = file_system(bench.disk)
    makers: dict[str, Callable[[], Receiver]] = {
        DOKUEI: lambda: NodeReceiver(folder / "node"),
        ORTHANC: lambda: OrthancReceiver(folder / "orthanc"),
    }
    with running(makers) as receivers:
        for senders in bench.senders:
            blasts = {
                name: Blast(bench, each, template, senders=senders, settle=True) for name, each in receivers.items()
            }
            writers = {name: Writer(bench, template, mode, threads=senders) for name, mode in WRITERS.items()}
            found = interleaved({**blasts, **writers}, repeats=bench.repeats)
            name = f"receive (durable) {kind.name} on {place}, {_senders(senders)}, blast"
            yield from compared(name, kind.unit, found, ours=DOKUEI)
            bench.advance(name)


def measure_storescu(bench: Bench, kind: Kind) -> Iterator[Measurement]:
    """Measure with storescu, which most tests of PACS use, with TCP_NODELAY."""
    yield from _measure_program(bench, kind, "storescu")


def measure_dcmsend(bench: Bench) -> Iterator[Measurement]:
    """Measure with dcmsend, with TCP_NODELAY."""
    yield from _measure_program(bench, CT, "dcmsend")


def _measure_program(bench: Bench, kind: Kind, program: str) -> Iterator[Measurement]:
    template = bench.template(kind)
    with running(not_flushed(bench.memory / "receivers"), (ours(), DCMTK)) as receivers:
        for senders in bench.senders:
            runs = {
                name: DcmtkSender(bench, each, template, program=program, senders=senders)
                for name, each in receivers.items()
            }
            found = interleaved(runs, repeats=bench.repeats)
            name = f"receive (not flushed) {kind.name}, {_senders(senders)}, {program} with NODELAY"
            yield from compared(name, kind.unit, found, ours=ours())
            bench.advance(name)


def measure_stall(bench: Bench) -> Iterator[Measurement]:
    """Measure senders that leave Nagle's algorithm on, as most modalities do: the receiver can end the stall.

    Small objects stall in every receiver of DCMTK, slices in one that is not told to set TCP_NODELAY either.
    """
    makers = not_flushed(bench.memory / "receivers")
    makers[AS_IT_COMES] = lambda: StoreScpReceiver(bench.memory / "receivers" / "plain", environment=UNMODIFIED)
    for kind, peers in ((SMALL, (DCMTK, ORTHANC)), (CT, (AS_IT_COMES, ORTHANC))):
        with running(makers, (ours(), *peers)) as receivers:
            runs = {name: _stalling(bench, each, kind, name) for name, each in receivers.items()}
            found = interleaved(runs, repeats=bench.repeats)
            name = f"receive (not flushed) {kind.name}, 1 sender, unmodified storescu"
            yield from compared(name, kind.unit, found, ours=ours())
            bench.advance(name)


def _stalling(bench: Bench, receiver: Receiver, kind: Kind, name: str) -> "DcmtkSender":
    # A receiver that stalls the sender takes 40 ms and more for each object: a few are enough.
    most = 400 if name == ours() else 40
    template = bench.template(kind)
    return DcmtkSender(bench, receiver, template, program="storescu", senders=1, environment=UNMODIFIED, most=most)


def _senders(number: int) -> str:
    return "1 sender" if number == 1 else f"{number} senders"


class Blast:
    """One timed run of blast: returns MB/s or objects/s. The first run finds out how many objects fill the time."""

    def __init__(
        self, bench: Bench, receiver: Receiver, template: Template, *, senders: int, settle: bool = False
    ) -> None:
        self._bench, self._receiver, self._template = bench, receiver, template
        self._senders, self._settle = senders, settle
        self._count = WARM_OBJECTS[template.name]

    def __call__(self) -> float:
        if self._settle:
            settle_disk()
        done = self._bench.blast(
            self._receiver,
            self._template.sop_class_uid,
            self._template.dataset,
            count=self._count,
            senders=self._senders,
        )
        self._receiver.empty()
        if done.failures:
            raise RuntimeError(f"{done.failures} objects were refused, the first with 0x{done.first_failure:04X}")
        rate = done.stored / done.seconds
        self._count = self._bench.count_for(rate, self._template.size_bytes, self._senders)
        return rate if self._template.unit == "objects/s" else done.bytes / 1e6 / done.seconds


class Writer:
    """One timed run of file_writer."""

    def __init__(self, bench: Bench, template: Template, mode: str, *, threads: int) -> None:
        self._bench, self._template, self._mode, self._threads = bench, template, mode, threads
        self._count = WARM_OBJECTS[template.name]

    def __call__(self) -> float:
        folder = self._bench.disk / "writer"
        folder.mkdir(exist_ok=True)
        settle_disk()
        command = [str(compiled("file_writer")), str(folder), str(self._template.dataset), str(self._count)]
        done = run_json([*command, str(self._threads), str(self._bench.next_run()), self._mode])
        for path in [*folder.glob("*.part"), *folder.glob("*/*.dcm")]:
            path.unlink()
        rate = done["stored"] / done["seconds"]
        self._count = self._bench.count_for(rate, self._template.size_bytes, self._threads)
        return rate if self._template.unit == "objects/s" else done["bytes"] / 1e6 / done["seconds"]


class DcmtkSender:
    """One timed run of storescu or dcmsend processes side by side, each with files of its own."""

    def __init__(
        self,
        bench: Bench,
        receiver: Receiver,
        template: Template,
        *,
        program: str,
        senders: int,
        environment: dict[str, str] | None = None,
        most: int = 2_000,
    ) -> None:
        self._bench, self._receiver, self._template = bench, receiver, template
        self._program, self._senders, self._most = program, senders, most
        self._environment = environment or ENVIRONMENT
        self._count = min(most, WARM_OBJECTS[template.name])

    def __call__(self) -> float:
        with self._files() as groups:
            seconds = timed(lambda: self._send(groups))
        self._receiver.empty()
        number = self._senders * self._count
        self._count = self._bench.count_for(number / seconds, self._template.size_bytes, self._senders, most=self._most)
        unit_bytes = 1 if self._template.unit == "objects/s" else self._template.size_bytes / 1e6
        return number * unit_bytes / seconds

    @contextmanager
    def _files(self) -> Iterator[list[list[Path]]]:
        folder, run = self._bench.memory / "sending", self._bench.next_run() * 1_000_000
        numbers = range(run, run + self._senders * self._count)
        files = list(self._template.copies(folder, numbers))
        try:
            yield [files[sender :: self._senders] for sender in range(self._senders)]
        finally:
            for path in files:
                path.unlink()

    def _send(self, groups: list[list[Path]]) -> None:
        called = self._receiver.called
        processes = [
            subprocess.Popen(
                [self._program, *called.arguments, *map(str, files)],
                env=self._environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            for files in groups
        ]
        for process in processes:
            _, complaint = process.communicate(timeout=600)
            if process.returncode or b"E:" in complaint:
                raise RuntimeError(f"{self._program} failed: {complaint[-500:].decode(errors='replace')}")

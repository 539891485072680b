# SPDX-License-Identifier: Apache-2.0
"""How fast results go out: our sender beside storescu, into the same DCMTK storescp."""

from collections.abc import Iterator
from pathlib import Path

from harness.dcmtk import storescu
from service.ports import EncodedObject, ResultKind
from service.settings import DestinationSettings
from service.transport.store_scu import StoreScu
from tests.benchmarks.bench import Bench, timed
from tests.benchmarks.measure import Measurement, compared, interleaved
from tests.benchmarks.objects import SC, Template, report_template
from tests.benchmarks.receivers import DCMTK, DOKUEI, StoreScpReceiver, running

STORESCU = "storescu with NODELAY"


def measure_sending(bench: Bench) -> Iterator[Measurement]:
    """Measure objects a second over one association, reports and full-size pictures."""
    report = report_template(bench.memory / "templates")
    picture = bench.template(SC)
    numbers = {report.name: 60 if bench.quick else 600, picture.name: 4 if bench.quick else 16}
    receiver = StoreScpReceiver(bench.memory / "receivers" / "storescp")
    with running({DCMTK: lambda: receiver}):
        for template in (report, picture):
            name = f"send {template.name} to DCMTK storescp"
            files = _files(bench, template, numbers[template.name])
            runs = {DOKUEI: _Ours(receiver, template, files), STORESCU: _Storescu(receiver, files)}
            yield from compared(name, "objects/s", interleaved(runs, repeats=bench.repeats), ours=DOKUEI)
            for path, _uid in files:
                path.unlink()
            bench.advance(name)


def _files(bench: Bench, template: Template, number: int) -> list[tuple[Path, str]]:
    first = bench.next_run() * 1_000_000
    numbers = range(first, first + number)
    paths = template.copies(bench.memory / "outgoing", numbers)
    return [(path, template.sop_instance_uid(each)) for path, each in zip(paths, numbers, strict=True)]


class _Ours:
    """StoreScu in this process: association, all objects, release."""

    def __init__(self, receiver: StoreScpReceiver, template: Template, files: list[tuple[Path, str]]) -> None:
        self._receiver = receiver
        settings = DestinationSettings(
            name="pacs", ae_title=receiver.ae_title, host="127.0.0.1", port=receiver.port, timeout_seconds=60
        )
        self._sender = StoreScu(settings, ae_title="DOKUEI")
        self._objects = [
            EncodedObject(kind=ResultKind.SR, sop_class_uid=template.sop_class_uid, sop_instance_uid=uid, path=path)
            for path, uid in files
        ]

    def __call__(self) -> float:
        statuses: list[int | None] = []
        seconds = timed(lambda: statuses.extend(self._sender.send(self._objects).values()))
        self._receiver.empty()
        if any(statuses):
            raise RuntimeError(f"storescp refused an object: {statuses}")
        return len(self._objects) / seconds


class _Storescu:
    """storescu, less what it needs to start: the time of all objects without that of one."""

    def __init__(self, receiver: StoreScpReceiver, files: list[tuple[Path, str]]) -> None:
        self._receiver = receiver
        self._paths = [path for path, _uid in files]

    def __call__(self) -> float:
        one = timed(lambda: self._send(self._paths[:1]))
        everything = timed(lambda: self._send(self._paths))
        self._receiver.empty()
        return (len(self._paths) - 1) / max(everything - one, 1e-6)

    def _send(self, paths: list[Path]) -> None:
        answer = storescu(self._receiver.called, paths)
        if answer.returncode:
            raise RuntimeError(f"storescu failed: {answer.stderr[-500:]}")

# SPDX-License-Identifier: Apache-2.0
"""What durability costs: the receiver without a network, beside a C program that writes and flushes the same files.

`python -m tests.benchmarks.durable` prints the ratios; `make bench` measures the same over the network.
"""

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path

import pydicom

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes import CT, FakeAnalyst, SystemClock, ct_dataset
from node import SETTINGS
from service.domain.study import study_key
from service.ports import IncomingInstance, StoreOutcome
from service.storage import FileStore, SqlLedger, create_database, migrate, open_folder
from service.workflow import FlowParts, StoreInstance
from tests.benchmarks.measure import Measurement, compared, interleaved
from tests.benchmarks.programs import compiled, run_json

KINDS = {"CT slices 0.5 MB": (525_000, 400), "objects of 10 kB": (10_000, 800), "mammograms 27 MB": (27_000_000, 16)}
WRITERS = (1, 4, 8)
PIECE = 131_072
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
PLACEHOLDER = "1.2.826.0.1.3680043.10.999.0000000000"


def run_writer(folder: Path, *, size_bytes: int, files: int, writers: int) -> float:
    """Return the C program's MB/s."""
    folder.mkdir()
    content = folder.with_suffix(".bin")
    content.write_bytes(encoded_slice(size_bytes))
    command = [str(compiled("file_writer")), str(folder), str(content), str(files // writers), str(writers)]
    answer = run_json([*command, "run", "rename"])
    shutil.rmtree(folder)
    return float(answer["bytes"]) / 1e6 / float(answer["seconds"])


class Desk:
    """The real receiver on a store and a ledger of its own."""

    def __init__(self, root: Path, *, url: str | None = None, flush: bool = True) -> None:
        folder, self.database = open_folder(root), create_database(root, url=url, flush=flush)
        migrate(self.database)
        parts = FlowParts(
            settings=SETTINGS,
            clock=SystemClock(),
            observer=lambda _event: None,
            ledger=SqlLedger(self.database, root=folder.root, enqueue=lambda _connection, _task: None),
            store=FileStore(folder, reserve_bytes=0, flush=flush),
            analyst=FakeAnalyst(),
            pipelines={},
            packages={},
            destinations={},
            notifiers={},
            study_key=partial(study_key, site_key=b"k"),
        )
        self.folder = folder
        self._receive = StoreInstance(parts)

    def receive(self, uid: str, encoded: bytes) -> None:
        content = memoryview(encoded)
        incoming = IncomingInstance(
            peer="ct",
            calling_ae="CT1",
            sop_class_uid=CT,
            sop_instance_uid=uid,
            transfer_syntax_uid=EXPLICIT_VR_LITTLE_ENDIAN,
            dataset=[content[start : start + PIECE] for start in range(0, len(content), PIECE)],
        )
        outcome = self._receive(incoming)
        if outcome is not StoreOutcome.STORED:
            raise RuntimeError(f"the receiver answered {outcome}")


@contextmanager
def open_desk(root: Path, **options: bool) -> Iterator[Desk]:
    """Make a desk in a folder that is deleted afterwards."""
    desk = Desk(root, **options)
    try:
        yield desk
    finally:
        desk.database.dispose()
        shutil.rmtree(root)


def encoded_slice(size_bytes: int) -> bytes:
    """Return a data set of about this size, whose UID is to be replaced."""
    dataset = ct_dataset(1, 1)
    dataset.SOPInstanceUID = PLACEHOLDER
    dataset.Rows = dataset.Columns = int((size_bytes / 2) ** 0.5)
    dataset.PixelData = bytes(range(256)) * (dataset.Rows * dataset.Columns * 2 // 256 + 1)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def run_desk(root: Path, *, size_bytes: int, files: int, writers: int, flush: bool = True) -> float:
    """Return the receiver's MB/s with so many threads that hand it instances."""
    template, numbers = encoded_slice(size_bytes), count(1)
    with open_desk(root, flush=flush) as desk:

        def send(times: int) -> None:
            for _ in range(times):
                uid = f"{PLACEHOLDER[:-10]}{next(numbers) + 1_000_000_000}"
                desk.receive(uid, template.replace(PLACEHOLDER.encode(), uid.encode()))

        send(5)
        started = time.perf_counter()
        in_threads(send, times=files // writers, threads=writers)
        seconds = time.perf_counter() - started
    return len(template) * (files // writers) * writers / 1e6 / seconds


def in_threads(work: Callable[[int], None], *, times: int, threads: int) -> None:
    """Run `work(times)` in each of so many threads."""
    running = [threading.Thread(target=work, args=(times,)) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def measure_durable(folder: Path, *, repeats: int, writers: Sequence[int] = WRITERS) -> list[Measurement]:
    """Compare MB/s with the C program, and with ourselves when nothing is flushed."""
    numbers, found = count(), []
    for kind, (size_bytes, files) in KINDS.items():
        for number in writers:
            given = {"size_bytes": size_bytes, "files": files, "writers": number}
            runs = {
                "dokuei": lambda given=given: run_desk(folder / str(next(numbers)), **given),
                "C: write, fsync, rename, fsync folder": lambda given=given: run_writer(
                    folder / str(next(numbers)), **given
                ),
                "dokuei, nothing flushed": lambda given=given: run_desk(
                    folder / str(next(numbers)), flush=False, **given
                ),
            }
            results = interleaved(runs, repeats=repeats)
            found += compared(f"receive durably, {kind}, {number} writer(s)", "MB/s", results, ours="dokuei")
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dokuei-durable-", dir="build" if Path("build").is_dir() else None) as name:
        for entry in measure_durable(Path(name), repeats=options.repeats):
            print(json.dumps(asdict(entry)), flush=True)  # noqa: T201 - the command's result


if __name__ == "__main__":
    main()

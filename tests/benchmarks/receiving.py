# SPDX-License-Identifier: Apache-2.0
"""How fast images come in over one association, beside DCMTK's storescp (not flushed) and Orthanc (flushed)."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

from harness.dcmtk import Called, StoreScpProgram, storescu
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from tests.benchmarks.measure import Measurement, compared, interleaved
from tests.chaos.studies import copy_studies

KINDS = {"CT slices 0.5 MB": ("5-chest-ct-normal", 2), "mammograms 8 MB": ("7-mammography-normal", 2)}


def measure_receiving(samples: Path, folder: Path, *, repeats: int) -> list[Measurement]:
    """Measure MB/s of one storescu into each receiver; every repeat sends instances that nobody has seen."""
    orthanc = Orthanc(folder / "orthanc")
    storescp = StoreScpProgram(folder / "storescp", "--fork", "-dhl", "+B", "-pdu", "131072")
    node = NodeProgram(folder / "node", pacs=(orthanc.ae_title, orthanc.dicom_port), changes={"rules": []})
    for peer in (orthanc, storescp, node):
        peer.start()
    called = {
        "dokuei": node.called,
        "Orthanc": Called(port=orthanc.dicom_port, ae_title=orthanc.ae_title),
        "DCMTK storescp --fork (not flushed)": Called(port=storescp.port, ae_title=storescp.ae_title),
    }
    try:
        return [
            entry
            for number, (kind, (sample, studies)) in enumerate(KINDS.items())
            for entry in _measure(kind, samples / sample, folder / str(number), called, studies, repeats=repeats)
        ]
    finally:
        for peer in (node, storescp, orthanc):
            peer.stop()


def _measure(
    kind: str, sample: Path, folder: Path, called: dict[str, Called], studies: int, *, repeats: int
) -> list[Measurement]:
    numbers = itertools.count()
    runs = {name: _run(receiver, sample, folder, studies, numbers) for name, receiver in called.items()}
    return compared(f"receive {kind}, 1 sender", "MB/s", interleaved(runs, repeats=repeats), ours="dokuei")


def _run(
    receiver: Called, sample: Path, folder: Path, studies: int, numbers: "itertools.count[int]"
) -> Callable[[], float]:
    def run() -> float:
        target = folder / str(next(numbers))
        files = [path for study in copy_studies([sample], target, count=studies) for path in study.files]
        size = sum(path.stat().st_size for path in files)
        started = time.monotonic()
        answer = storescu(receiver, files)
        seconds = time.monotonic() - started
        if answer.returncode != 0:
            raise RuntimeError(f"storescu failed: {answer.stderr[-500:]}")
        return size / 1e6 / seconds

    return run

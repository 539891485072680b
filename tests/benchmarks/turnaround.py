# SPDX-License-Identifier: Apache-2.0
"""How long after its last image a study's report is in the PACS."""

import time
from collections.abc import Iterator
from pathlib import Path

from harness.dcmtk import dcmsend
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from harness.processes import wait_until
from models.phantoms.samples import draw_all
from tests.benchmarks.bench import Bench
from tests.benchmarks.measure import Measurement, alone
from tests.chaos.studies import CopiedStudy, copy_studies

KINDS = {
    "chest radiograph": "1-chest-film-with-dust-opacities",
    "HRCT of 24 slices": "4-chest-ct-with-honeycombing",
    "mammography of 4 views": "6-mammography-with-a-mass",
}


def measure_turnaround(bench: Bench) -> Iterator[Measurement]:
    """Measure seconds from the last acknowledgement to the last result object in Orthanc, one study at a time."""
    folder = bench.disk / "turnaround"
    draw_all(bench.samples)
    orthanc = Orthanc(folder / "orthanc")
    orthanc.start()
    node = NodeProgram(folder / "node", pacs=(orthanc.ae_title, orthanc.dicom_port))
    node.start()
    try:
        for kind, name in KINDS.items():
            yield _measure(kind, bench.samples / name, folder, node, repeats=bench.repeats)
            bench.advance(kind)
    finally:
        node.stop()
        orthanc.stop()


def _measure(kind: str, sample: Path, folder: Path, node: NodeProgram, *, repeats: int) -> Measurement:
    studies = list(copy_studies([sample], folder / sample.name, count=repeats + 1))
    seconds = [_turnaround(study, node) for study in studies][1:]
    return alone(f"last image in to results in the PACS, {kind}", "s", seconds)


def _turnaround(study: CopiedStudy, node: NodeProgram) -> float:
    dcmsend(node.called, study.files)
    started = time.monotonic()

    def finished() -> bool:
        row = node.studies().get(study.study_instance_uid)
        return row is not None and row.state == "finished"

    wait_until(finished, seconds=120, what="no result")
    return time.monotonic() - started

# SPDX-License-Identifier: Apache-2.0
"""How long after its last image a study's report is in the PACS."""

import statistics
import time
from pathlib import Path

from harness.dcmtk import dcmsend
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from harness.processes import wait_until
from tests.benchmarks.measure import Measurement, spread
from tests.chaos.studies import CopiedStudy, copy_studies

KINDS = {
    "chest radiograph": "1-chest-film-with-dust-opacities",
    "HRCT of 24 slices": "4-chest-ct-with-honeycombing",
    "mammography of 4 views": "6-mammography-with-a-mass",
}


def measure_turnaround(samples: Path, folder: Path, *, repeats: int) -> list[Measurement]:
    """Measure seconds from the last acknowledgement to the last result object in Orthanc, one study at a time."""
    orthanc = Orthanc(folder / "orthanc")
    orthanc.start()
    node = NodeProgram(folder / "node", pacs=(orthanc.ae_title, orthanc.dicom_port))
    node.start()
    try:
        return [_measure(kind, samples / name, folder, node, repeats=repeats) for kind, name in KINDS.items()]
    finally:
        node.stop()
        orthanc.stop()


def _measure(kind: str, sample: Path, folder: Path, node: NodeProgram, *, repeats: int) -> Measurement:
    studies = list(copy_studies([sample], folder / sample.name, count=repeats + 1))
    seconds = [_turnaround(study, node) for study in studies][1:]
    return Measurement(
        name=f"last image in to results in the PACS, {kind}",
        value=round(statistics.median(seconds), 3),
        unit="s",
        against="",
        ratio=1.0,
        spread=round(spread(seconds), 3),
    )


def _turnaround(study: CopiedStudy, node: NodeProgram) -> float:
    dcmsend(node.called, study.files)
    started = time.monotonic()

    def finished() -> bool:
        row = node.studies().get(study.study_instance_uid)
        return row is not None and row.state == "finished"

    wait_until(finished, seconds=120, what="no result")
    return time.monotonic() - started

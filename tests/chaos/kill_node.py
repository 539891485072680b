# SPDX-License-Identifier: Apache-2.0
"""Kills the node again and again while studies arrive; counts what is lost or doubled in a real Orthanc (goal 12)."""

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from harness.dcmtk import Called, storescu
from harness.node import NodeProgram
from service.storage.statistics import StudyStatus
from tests.chaos.journal import audit
from tests.chaos.studies import CopiedStudy, copy_studies, drawn_sample
from tests.chaos.verdict import Chaos, Verdict, stopwatch

PATIENCE_SECONDS = 3_600.0
ACKNOWLEDGED = "Received Store Response (Success)"
LONGEST_LIFE_SECONDS = 6.0


class Addressed(Protocol):
    """Says where the next object goes."""

    @property
    def called(self) -> Called:
        """The node, or the next of several members that receive."""


class Sender(threading.Thread):
    """A modality that sends every file until it is acknowledged, and never again after that."""

    def __init__(self, node: Addressed, studies: list[CopiedStudy]) -> None:
        super().__init__(name="modality", daemon=True)
        self.acknowledged: set[Path] = set()
        self._node = node
        self._studies = studies

    def run(self) -> None:
        for study in self._studies:
            for path in study.files:
                while not self._send(path):
                    time.sleep(0.2)

    def _send(self, path: Path) -> bool:
        answer = storescu(self._node.called, [path])
        if ACKNOWLEDGED not in answer.stdout + answer.stderr:
            return False
        self.acknowledged.add(path)
        return True


def run(chaos: Chaos) -> Verdict:
    """Send studies to a node that is killed again and again; return what became of them."""
    samples, sizes = chaos.folder / "samples", chaos.sizes
    studies = list(copy_studies(_cheap_first(samples, sizes.studies), chaos.folder / "studies", count=sizes.studies))
    with (
        stopwatch() as seconds,
        chaos.running_orthanc() as orthanc,
        chaos.running_node(pacs=orthanc, changes={"close": {"quiet_seconds": 20}}) as node,
    ):
        sender = Sender(node, studies)
        sender.start()
        _kill_repeatedly(chaos, node)
        sender.join(PATIENCE_SECONDS)
        rows = node.wait_for_results(len(studies), seconds=PATIENCE_SECONDS)
        tags = [orthanc.tags(instance) for instance in orthanc.instances()]
        lost, duplicated = count_faults(tags, rows, studies)
        node.stop()
        node.start()  # what a start puts in order is in order then
        node.stop()
        found = audit(node)
    return Verdict(
        name="kill -9 of the node",
        database=chaos.database,
        kills=sizes.kills,
        lost=lost,
        duplicated=duplicated,
        seconds=seconds(),
        faults=found.faults,
        found={"studies": len(rows), "acknowledged": len(sender.acknowledged), "seed": chaos.seed},
    )


def _cheap_first(samples: Path, count: int) -> list[Path]:
    """Films more often than mammograms and CT: the run is about crashes, not about pixels."""
    return [drawn_sample(samples, number) for number in "1232136214"[:count]]


def _kill_repeatedly(chaos: Chaos, node: NodeProgram) -> None:
    rng: random.Random = chaos.rng
    for number in range(chaos.sizes.kills):
        time.sleep(rng.uniform(0.2, LONGEST_LIFE_SECONDS))
        node.kill()
        node.start(wait=rng.random() < 0.8)  # sometimes it dies again before it has even started
        chaos.progress(f"kill {number + 1} of {chaos.sizes.kills}")


def count_faults(
    tags: list[dict[str, str]], rows: Mapping[str, StudyStatus], studies: list[CopiedStudy]
) -> tuple[int, int]:
    """Return (acknowledged instances without a result, results beyond one report per revision or one object per UID).

    `tags` are the headers of everything in the PACS, `rows` the ledger's newest job of each study.
    """
    reports = Counter(item["StudyInstanceUID"] for item in tags if item["Modality"] == "SR")
    names = Counter(item["SOPInstanceUID"] for item in tags)
    lost = sum(_lost(study, rows.get(study.study_instance_uid), reports) for study in studies)
    duplicated = sum(max(0, number - rows[uid].revision) for uid, number in reports.items() if uid in rows)
    strangers = sum(number for uid, number in reports.items() if uid not in rows)
    return lost, duplicated + strangers + sum(number - 1 for number in names.values())


def _lost(study: CopiedStudy, row: StudyStatus | None, reports: Counter[str]) -> int:
    if row is None or not reports[study.study_instance_uid]:
        return len(study.files)
    return len(study.files) - row.instances

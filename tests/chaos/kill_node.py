# SPDX-License-Identifier: Apache-2.0
"""Kills the node again and again while studies arrive, and counts what is lost or doubled in a real Orthanc.

`python -m tests.chaos.kill_node --out build/chaos.json` (what `make chaos` runs)
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.dcmtk import storescu
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from models.phantoms.samples import draw_all
from service.storage.statistics import StudyStatus
from tests.chaos.studies import CopiedStudy, copy_studies

PATIENCE_SECONDS = 1200.0
ACKNOWLEDGED = "Received Store Response (Success)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line of build/chaos.json."""

    name: str
    kills: int
    lost: int
    duplicated: int
    seconds: float
    studies: int
    acknowledged: int
    seed: int


class Sender(threading.Thread):
    """A modality that sends every file until it is acknowledged, and never again after that."""

    def __init__(self, node: NodeProgram, studies: list[CopiedStudy]) -> None:
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


def run(*, kills: int, count: int, seed: int, folder: Path) -> Verdict:
    """Send `count` studies to a node that is killed `kills` times; return what became of them."""
    samples = folder / "samples"
    draw_all(samples)
    studies = list(copy_studies(_cheap_first(samples), folder / "studies", count=count))
    orthanc = Orthanc(folder / "orthanc")
    orthanc.start()
    node = NodeProgram(
        folder / "node", pacs=(orthanc.ae_title, orthanc.dicom_port), changes={"close": {"quiet_seconds": 20}}
    )
    started = time.monotonic()
    try:
        node.start()
        sender = Sender(node, studies)
        sender.start()
        _kill_repeatedly(node, kills=kills, rng=random.Random(seed))
        sender.join(PATIENCE_SECONDS)
        rows = node.wait_for_results(count, seconds=PATIENCE_SECONDS)
        tags = [orthanc.tags(instance) for instance in orthanc.instances()]
        lost, duplicated = count_faults(tags, rows, studies)
    finally:
        node.stop()
        orthanc.stop()
    return Verdict(
        name="kill -9 of the node",
        kills=kills,
        lost=lost,
        duplicated=duplicated,
        seconds=round(time.monotonic() - started, 1),
        studies=len(rows),
        acknowledged=len(sender.acknowledged),
        seed=seed,
    )


def _cheap_first(samples: Path) -> list[Path]:
    """Films more often than mammograms and CT: the run is about crashes, not about pixels."""
    names = {path.name[0]: path for path in samples.iterdir() if path.is_dir()}
    return [names[number] for number in "1232136214"]


def _kill_repeatedly(node: NodeProgram, *, kills: int, rng: random.Random) -> None:
    for number in range(kills):
        time.sleep(rng.uniform(0.5, 12.0))
        node.kill()
        node.start(wait=rng.random() < 0.8)  # sometimes it dies again before it has even started
        print(f"kill {number + 1} of {kills}", flush=True)  # noqa: T201 - progress of a long run


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


def main() -> None:
    """Run and write the verdict; exit status 1 when anything was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/chaos.json"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--studies", type=int, default=60)
    parser.add_argument("--seed", type=int, default=20261120)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dokuei-chaos-") as folder:
        verdict = run(kills=options.kills, count=options.studies, seed=options.seed, folder=Path(folder))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps([asdict(verdict)], indent=1) + "\n")
    print(json.dumps(asdict(verdict)))  # noqa: T201 - the command's result
    raise SystemExit(verdict.lost + verdict.duplicated > 0)


if __name__ == "__main__":
    main()

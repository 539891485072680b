# SPDX-License-Identifier: Apache-2.0
"""Runs the node under steady work and watches its memory, threads and files.

`python -m tests.soak.run_node --minutes 30 --out build/soak.json` (what `make soak` runs)
"""

import argparse
import itertools
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.dcmtk import dcmsend
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from models.phantoms.samples import draw_all
from tests.chaos.studies import copy_studies

WARM_STUDIES = 14
"""Every kind twice: what is loaded lazily is loaded by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The node's parent process at one moment."""

    minutes: float
    studies: int
    rss_mb: float
    threads: int
    files: int


def sample(node: NodeProgram, *, started: float, studies: int) -> Sample:
    """Read /proc of the node's parent process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{node.pid}/status").read_text().splitlines())
    return Sample(
        minutes=round((time.monotonic() - started) / 60, 3),
        studies=studies,
        rss_mb=int(status["VmRSS"].split()[0]) / 1024,
        threads=int(status["Threads"]),
        files=len(list(Path(f"/proc/{node.pid}/fd").iterdir())),
    )


def run(folder: Path, *, minutes: float) -> list[Sample]:
    """Send one study after another for so long, each to its end, and return a sample after each."""
    draw_all(folder / "samples")
    kinds = sorted((folder / "samples").iterdir())
    orthanc = Orthanc(folder / "orthanc")
    orthanc.start()
    node = NodeProgram(folder / "node", pacs=(orthanc.ae_title, orthanc.dicom_port))
    node.start()
    started, samples = time.monotonic(), []
    try:
        for number in itertools.count(1):
            target = folder / "studies" / str(number)
            (study,) = copy_studies([kinds[number % len(kinds)]], target, count=1)
            dcmsend(node.called, study.files)
            shutil.rmtree(target)
            node.wait_until_idle(seconds=300)
            samples.append(sample(node, started=started, studies=number))
            if time.monotonic() - started > minutes * 60 and number > 2 * WARM_STUDIES:
                return samples
    finally:
        node.stop()
        orthanc.stop()
    return samples


def slope_mb_per_hour(samples: list[Sample]) -> float:
    """Return the fitted growth of memory after warming up."""
    warm = samples[WARM_STUDIES:]
    hours = [entry.minutes / 60 for entry in warm]
    return float(np.polyfit(hours, [entry.rss_mb for entry in warm], 1)[0])


def main() -> None:
    """Run and write the samples and the growth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/soak.json"))
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dokuei-soak-") as folder:
        samples = run(Path(folder), minutes=options.minutes)
    summary = {"rss_mb_per_hour": slope_mb_per_hour(samples), "first": asdict(samples[0]), "last": asdict(samples[-1])}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({**summary, "samples": [asdict(entry) for entry in samples]}, indent=1) + "\n")
    print(json.dumps(summary))  # noqa: T201 - the command's result


if __name__ == "__main__":
    main()

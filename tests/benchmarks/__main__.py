# SPDX-License-Identifier: Apache-2.0
"""Measures the node beside named peers in the same run; `python -m tests.benchmarks --out build/benchmarks.json`."""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from models.phantoms.samples import draw_all
from tests.benchmarks.measure import Measurement
from tests.benchmarks.receiving import measure_receiving
from tests.benchmarks.turnaround import measure_turnaround


def main() -> None:
    """Run every benchmark and write one list of measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks.json"))
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dokuei-bench-") as name:
        folder = Path(name)
        draw_all(folder / "samples")
        found: list[Measurement] = []
        for measure in (measure_receiving, measure_turnaround):
            found += measure(folder / "samples", folder / measure.__name__, repeats=options.repeats)
            _write(found, options.out)
    for entry in found:
        print(json.dumps(asdict(entry)))  # noqa: T201 - the command's result


def _write(found: list[Measurement], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([asdict(entry) for entry in found], indent=1) + "\n")


if __name__ == "__main__":
    main()

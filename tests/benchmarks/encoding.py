# SPDX-License-Identifier: Apache-2.0
"""What the maps of a CT study cost to encode and to check: CPU time, memory beside the neutral result, and bytes."""

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.proc import forget_peak_memory, memory_mb
from harness.studies import context_of, label_map_of, result_of, source_dataset, stored, value_map_of
from service.domain.instance import Instance
from service.domain.record import load_result, save_result
from service.domain.result import LabelMap, Outcome, PipelineResult
from service.ports import ResultKind
from service.results import ENCODERS
from service.results.gate import check_object
from tests.benchmarks.bench import Bench
from tests.benchmarks.measure import Measurement, alone
from tests.benchmarks.programs import run_json

KINDS = (ResultKind.SEGMENTATION, ResultKind.PARAMETRIC_MAP)
MEASURED = {
    "encode": "s of CPU",
    "gate": "s of CPU",
    "memory beside the result": "MB",
    "memory of the gate": "MB",
    "files": "MB",
}
SLICES, QUICK_SLICES = 300, 30
ROWS = COLUMNS = 512


def measure_encoding(bench: Bench) -> Iterator[Measurement]:
    """Measure the maps of a CT of 300 slices, all of them analysed, each run in a process of its own."""
    slices = QUICK_SLICES if bench.quick else SLICES
    for kind in KINDS:
        runs = [_run(kind, slices, bench.disk / "encoding" / str(index)) for index in range(bench.repeats)]
        for what, unit in (
            ("encode", "s"),
            ("gate", "s"),
            ("memory beside the result", "MB"),
            ("files", "MB"),
        ):
            yield alone(f"{kind} of a CT of {slices} slices, {what}", unit, [run[what] for run in runs])
        bench.advance(str(kind))


def _run(kind: ResultKind, slices: int, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.encoding", str(kind), str(slices), str(folder)]
    return run_json(command, seconds=600)


def main() -> None:
    """Encode the maps of one study and print what it cost as JSON."""
    kind, slices, folder = ResultKind(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    sources = draw_sources(slices, folder / "sources")
    save_result(drawn_result(sources), folder)
    result, context = load_result(folder), context_of(*sources)
    forget_peak_memory(os.getpid())
    before = memory_mb(os.getpid())
    started = time.process_time()
    entries = ENCODERS[kind](result, context, folder / "objects")
    encoded = time.process_time()
    peak = memory_mb(os.getpid(), "VmHWM") - before
    forget_peak_memory(os.getpid())
    problems = [problem for entry in entries for problem in check_object(entry.path, validators=())]
    if problems:
        raise SystemExit(f"the gate holds back what is to be measured: {problems[:3]}")
    judged = time.process_time()
    cost = {
        "encode": encoded - started,
        "gate": judged - encoded,
        "memory beside the result": peak,
        "memory of the gate": memory_mb(os.getpid(), "VmHWM") - before,
        "files": sum(entry.path.stat().st_size for entry in entries) / 1e6,
    }
    sys.stdout.write(json.dumps(cost))


def draw_sources(slices: int, folder: Path) -> tuple[Instance, ...]:
    """Write the headers of a CT series; encoding maps reads no pixels."""
    datasets = [source_dataset("CT", number) for number in range(1, slices + 1)]
    for dataset in datasets:
        dataset.Rows, dataset.Columns, dataset.PixelSpacing = ROWS, COLUMNS, [0.7, 0.7]
    return tuple(stored(dataset, folder) for dataset in datasets)


def drawn_result(sources: tuple[Instance, ...]) -> PipelineResult:
    """Return two lungs with patches of a pattern on every slice, and a value for each of 50 by 50 tiles."""
    small, values = label_map_of(sources, with_findings=True), value_map_of(sources)
    labels = np.zeros((len(sources), ROWS, COLUMNS), dtype=np.uint8)
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    for number, plane in enumerate(labels):
        plane[((x - 160) / 95) ** 2 + ((y - 256) / 150) ** 2 < 1] = 1
        plane[((x - 352) / 95) ** 2 + ((y - 256) / 150) ** 2 < 1] = 2
        plane[(plane == 1) & ((x // 12 + y // 12 + number) % 3 == 0)] = 3
    rng = np.random.default_rng(1)
    drawn = LabelMap(labels=labels, slices=small.slices, segments=small.segments)
    tiles = rng.random((len(sources), 50, 50), dtype=np.float32)
    maps = (replace(values, values=tiles),)
    return result_of("CT", sources, Outcome.FINDINGS, label_map=drawn, value_maps=maps, heatmaps=())


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""What all result objects of one study cost: CPU time by kind, for our own rules and for the programs of the gate."""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.proc import forget_peak_memory, memory_mb
from harness.studies import anatomy, context_of, heatmap_of, hot_spot, result_of, source_dataset, stored
from service.domain.instance import Instance
from service.domain.record import load_result, save_result
from service.domain.result import Finding, Heatmap, Outcome, PipelineResult, Region
from service.ports import ResultContext, ResultKind
from service.results import ENCODERS
from service.results.gate import check_object
from service.settings.results import CHOICES
from tests.benchmarks.bench import Bench
from tests.benchmarks.encoding import draw_sources, drawn_result
from tests.benchmarks.measure import Measurement, alone
from tests.benchmarks.programs import run_json

MAMMOGRAM, CT = "mammogram of 27 MB", "CT of 300 slices"
ROWS, COLUMNS = 4096, 3328
SLICES, QUICK_SLICES = 300, 30
PICTURE = {MAMMOGRAM: (1024, 832), CT: (512, 512)}
"""Rows and columns of the heatmaps that the pipelines draw of such images."""
CT_PICTURES = 3
FINDINGS = (1, 20)
REPORT_AND_PICTURE = (ResultKind.SR, ResultKind.HEATMAP)


def measure_result_sets(bench: Bench) -> Iterator[Measurement]:
    """Measure a mammogram with one finding and with twenty, and a CT; each run in a warm process of its own."""
    slices = QUICK_SLICES if bench.quick else SLICES
    for study, findings in (*((MAMMOGRAM, count) for count in FINDINGS), (CT, FINDINGS[0])):
        runs = [
            _run(study, findings, slices, bench.disk / "sets" / f"{study}-{findings}-{index}")
            for index in range(bench.repeats)
        ]
        yield from _measurements(f"{study}, {findings} finding{'s' if findings > 1 else ''}", runs)
        bench.advance(study)


def _measurements(study: str, runs: list[dict[str, Any]]) -> Iterator[Measurement]:
    kinds = list(runs[0]["kinds"])
    for kind in kinds:
        for what in ("encode", "own rules", "programs"):
            yield alone(f"{study}: {kind}, {what}", "ms of CPU", [run["kinds"][kind][what] for run in runs])
    for what in ("encode", "own rules", "programs"):
        sums = [sum(run["kinds"][kind][what] for kind in kinds) for run in runs]
        yield alone(f"{study}: full set, {what}", "ms of CPU", sums)
    both = [
        sum(run["kinds"][kind][what] for kind in REPORT_AND_PICTURE for what in ("encode", "own rules")) for run in runs
    ]
    yield alone(f"{study}: report and pictures without programs", "ms of CPU", both)
    for what, unit in (("files", "MB"), ("read", "MB"), ("memory", "MB")):
        yield alone(f"{study}: full set, {what}", unit, [run[what] for run in runs])


def _run(study: str, findings: int, slices: int, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.result_sets", study, str(findings), str(slices), str(folder)]
    return run_json(command, seconds=900)


def main() -> None:
    """Encode and check every kind of object of one study, and print what it cost as JSON."""
    study, findings, slices, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    if study == CT:
        sources = draw_sources(slices, folder / "sources")
        drawn = replace(drawn_result(sources), heatmaps=_pictures(CT, sources[:CT_PICTURES]))
    else:
        sources = (_mammogram(folder / "sources"),)
        drawn = _mammogram_result(sources, findings)
    save_result(drawn, folder)
    result, context = load_result(folder), context_of(*sources)
    _warm_up(folder / "warm")
    forget_peak_memory(os.getpid())
    memory, read = memory_mb(os.getpid()), _read_bytes()
    cost: dict[str, Any] = {"kinds": {}, "files": 0.0}
    for kind in CHOICES:
        kept, size = _cost_of(kind, result, context, folder / "objects" / kind)
        if kept:
            cost["kinds"][str(kind)] = kept
            cost["files"] += size / 1e6
    cost["read"] = (_read_bytes() - read) / 1e6
    cost["memory"] = memory_mb(os.getpid(), "VmHWM") - memory
    sys.stdout.write(json.dumps(cost))


def _cost_of(
    kind: ResultKind, result: PipelineResult, context: ResultContext, folder: Path
) -> tuple[dict[str, Any], int]:
    """Return milliseconds of CPU by step, and the bytes of the files; nothing for a kind that such a study has not."""
    folder.mkdir(parents=True)
    started = time.process_time()
    entries = ENCODERS[kind](result, context, folder)
    encoded = time.process_time()
    if not entries:
        return {}, 0
    _refuse([problem for entry in entries for problem in check_object(entry.path, validators=())], kind)
    judged, children = time.process_time(), _children_seconds()
    _refuse([problem for entry in entries for problem in check_object(entry.path)], kind)
    programs = max(0.0, time.process_time() - judged - (judged - encoded)) + _children_seconds() - children
    milliseconds = {"encode": encoded - started, "own rules": judged - encoded, "programs": programs}
    size = sum(entry.path.stat().st_size for entry in entries)
    return {what: 1000 * seconds for what, seconds in milliseconds.items()}, size


def _refuse(problems: list[str], kind: ResultKind) -> None:
    if problems:
        raise SystemExit(f"the gate holds back {kind}, which is to be measured: {problems[:3]}")


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _read_bytes() -> int:
    """Return how many bytes this process has read from files, cached or not."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("rchar")).split()[1])


def _warm_up(folder: Path) -> None:
    """Write everything once of a small film: the node's children live long, and imports are not what a study costs."""
    source = stored(source_dataset("CR"), folder / "sources")
    folder.joinpath("objects").mkdir()
    result = result_of("CR", (source,), Outcome.FINDINGS)
    for kind in CHOICES:
        for entry in ENCODERS[kind](result, context_of(source), folder / "objects"):
            check_object(entry.path)


def _mammogram(folder: Path) -> Instance:
    dataset = source_dataset("MG")
    dataset.Rows, dataset.Columns, dataset.ImagerPixelSpacing = ROWS, COLUMNS, [0.07, 0.07]
    rng = np.random.default_rng(1)
    dataset.PixelData = rng.integers(0, 4096, size=(ROWS, COLUMNS), dtype=np.uint16).tobytes()
    dataset["PixelData"].VR = "OW"
    return stored(dataset, folder)


def _mammogram_result(sources: tuple[Instance, ...], count: int) -> PipelineResult:
    result = result_of("MG", sources, Outcome.FINDINGS)
    return replace(
        result,
        findings=tuple(_mark(result.findings[0], number, sources[0]) for number in range(count)),
        heatmaps=_pictures(MAMMOGRAM, sources),
    )


def _mark(finding: Finding, number: int, source: Instance) -> Finding:
    x, y = 100 + 600 * (number % 5), 100 + 800 * (number // 5)
    region = Region.box(source.sop_instance_uid, x0=x, y0=y, x1=x + 300, y1=y + 400)
    return replace(finding, key=f"mark-{number}", region=region, score=0.9 - number / 100)


def _pictures(study: str, sources: tuple[Instance, ...]) -> tuple[Heatmap, ...]:
    rows, columns = PICTURE[study]
    base, overlay = anatomy(rows, columns), hot_spot(rows, columns)
    modality = "CT" if study == CT else "MG"
    return tuple(
        replace(heatmap_of(modality, source, key=f"map-{number}"), base=base, overlay=overlay)
        for number, source in enumerate(sources)
    )


if __name__ == "__main__":
    main()

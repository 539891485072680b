# SPDX-License-Identifier: Apache-2.0
"""What a long HRCT costs, stage by stage, and how much memory: 100, 300 and 1,000 slices, each in its own process.

Twice: with the distance between analysed slices that the package asks for, and with every slice analysed.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import pydicom

from harness.proc import memory_mb
from harness.studies import context_of
from models.phantoms.computed_tomography import ChestPhantom, Involvement
from models.phantoms.computed_tomography.dicom import write_ct_series
from models.phantoms.dicom import PhantomStudy
from service.domain.instance import Instance
from service.domain.result import PipelineResult
from service.domain.study import Refusal
from service.inference.package import LoadedPackage, default_packages_folder, load_package
from service.pipelines import PIPELINES
from service.pipelines.diffuse_lung import extent, lung_extent, slices
from service.results import ENCODERS
from service.results.gate import check_object
from service.settings import Settings
from service.settings.results import CHOICES
from tests.benchmarks.bench import Bench
from tests.benchmarks.instances import instance_with_attributes
from tests.benchmarks.measure import Measurement, alone
from tests.benchmarks.programs import run_json

COUNTS, QUICK_COUNTS = (100, 300, 1000), (30, 90)
LUNG_MM = 240.0
DRAWN = 24
GRAPH, WRITE, REST = "graph", "write", "select, patterns, reading"
STAGES = ("decode", "resample", "lungs", GRAPH, REST, WRITE)
PATTERNS = {GRAPH, REST}
BOUNDED = "decoding, volume, lungs, writing"
"""What a line is set for: how long patterns take follows from the graph."""
SAMPLED, EVERY = "slices 5 mm apart", "every slice"
_NAME = "diffuse_lung"


def measure_long_series(bench: Bench) -> Iterator[Measurement]:
    """Measure seconds of CPU of each stage, the sum of those around the patterns, and the largest memory."""
    for count in QUICK_COUNTS if bench.quick else COUNTS:
        folder = write_long_series(bench.disk / f"series-{count}", count)
        for how in (SAMPLED, EVERY):
            name = f"HRCT of {count} slices, {how}"
            cost = run_json([sys.executable, "-m", "tests.benchmarks.long_series", str(folder), how], seconds=1800)
            for stage in STAGES:
                yield alone(f"{name}: {stage}", "s of CPU", [cost[stage]])
            bounded = sum(cost[stage] for stage in STAGES if stage not in PATTERNS)
            yield alone(f"{name}: {BOUNDED}", "s of CPU", [bounded])
            yield alone(f"{name}: analysed", "slices", [cost["analysed"]])
            yield alone(f"{name}: memory", "MiB", [cost["mebibytes"]])
            bench.advance(name)


def write_long_series(folder: Path, count: int) -> Path:
    """Write a chest of `count` slices over 240 mm: of fewer, drawn ones, each several times at places of its own."""
    drawn = min(DRAWN, count)
    phantom = ChestPhantom(
        seed=71, slices=drawn, involvements=(Involvement(pattern="honeycombing", levels=(0.5, 1.0), depth_mm=20),)
    )
    originals = [
        pydicom.dcmread(path) for path in write_ct_series(folder / "drawn", phantom, study=PhantomStudy(seed="long"))
    ]
    (folder / "series").mkdir()
    for index in range(count):
        dataset = originals[index * drawn // count]
        uid = PhantomStudy(seed="long").uid(f"slice {index}")
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.InstanceNumber = index + 1
        x, y, _ = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, round(LUNG_MM * (1 - (index + 0.5) / count), 4)]
        dataset.save_as(folder / "series" / f"{index:04d}.dcm", enforce_file_format=True)
    return folder / "series"


class _Watched:
    """The package with a watch on its graph and, for every slice, another distance between analysed slices."""

    def __init__(self, package: LoadedPackage, watch: "Stopwatch", *, every: bool) -> None:
        self._package, self._every = package, every
        self.run = watch.timed(GRAPH, package.run)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {**self._package.parameters, **({"slice_step_mm": 0.0} if self._every else {})}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._package, name)


class Stopwatch:
    """Adds up the CPU time of each stage; what a stage does inside another counts for itself alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self._inside = 0.0

    def timed(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same function, whose time counts for the stage."""

        @wraps(work)
        def counted(*arguments: Any, **options: Any) -> Any:
            with self.counting(stage):
                return work(*arguments, **options)

        return counted

    @contextmanager
    def counting(self, stage: str) -> Iterator[None]:
        """Count what is done inside for the stage."""
        started, before = time.process_time(), self._inside
        self._inside = 0.0
        yield
        spent = time.process_time() - started
        self.seconds[stage] += spent - self._inside
        self._inside = before + spent


def main() -> None:
    """Analyse one series, write and check its result objects, and print what each stage took as JSON."""
    folder, how = Path(sys.argv[1]), sys.argv[2]
    watch = Stopwatch()
    choice = Settings().pipelines[_NAME]
    package = load_package(default_packages_folder() / choice.package / choice.version, provider="cpu", threads=1)
    instances = [instance_with_attributes(path) for path in sorted(folder.glob("*.dcm"))]
    for module, name, stage in (
        (slices, "read_image", "decode"),
        (lung_extent, "resample_mm", "resample"),
        (extent, "resample_mm", "resample"),
        (lung_extent, "survey", "lungs"),
        (lung_extent, "settle", "lungs"),
    ):
        setattr(module, name, watch.timed(stage, getattr(module, name)))
    started = time.process_time()
    result = _result(instances, _Watched(package, watch, every=how == EVERY))
    seconds = watch.seconds
    seconds[REST] = time.process_time() - started - sum(seconds.values())
    with watch.counting(WRITE):
        _write(result, instances, folder.parent / f"objects-{how.partition(' ')[0]}")
    # Not ru_maxrss, which begins with the memory of the program that started this one.
    peak = memory_mb(os.getpid(), "VmHWM")
    sys.stdout.write(json.dumps({**seconds, "mebibytes": peak, "analysed": result.values["slices_analysed"]}))


def _result(instances: list[Instance], package: Any) -> PipelineResult:
    selection = PIPELINES[_NAME].select(instances, package.acceptance)
    if isinstance(selection, Refusal):
        raise TypeError(f"the series is refused: {selection.reasons}")
    return PIPELINES[_NAME].run(selection, package, analysed_at=datetime(2026, 1, 1, tzinfo=UTC))


def _write(result: PipelineResult, instances: list[Instance], folder: Path) -> None:
    folder.mkdir()
    context = context_of(*instances)
    for kind in CHOICES:
        for entry in ENCODERS[kind](result, context, folder):
            problems = check_object(entry.path, validators=())
            if problems:
                raise SystemExit(f"the gate holds back {kind}: {problems[:3]}")


if __name__ == "__main__":
    main()

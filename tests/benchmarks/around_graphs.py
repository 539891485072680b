# SPDX-License-Identifier: Apache-2.0
"""What a pipeline costs around its graphs: from the files of a study to its findings, against the graphs' own time."""

import os
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from service.domain.event import Event, InferenceFinished
from service.domain.result import Outcome
from service.domain.study import Refusal
from service.inference.package import default_packages_folder, load_package
from service.inference.session import Session
from service.pipelines import PIPELINES
from service.settings import Settings
from tests.benchmarks.bench import Bench, timed
from tests.benchmarks.eager import SIDE, full_size
from tests.benchmarks.instances import instance_with_attributes
from tests.benchmarks.measure import Measurement, spread
from tests.chaos.studies import drawn_sample

KINDS = {
    "chest radiograph": ("pneumoconiosis", "1"),
    "HRCT of 24 slices": ("diffuse_lung", "4"),
    "mammography of 4 views": ("mammography", "6"),
}
"""The pipeline and the number of its sample study."""
GRAPHS = "its graphs"
FULL_SIZE = ("vgg16", "resnet50", "densenet121")
FULL_SIZE_IMAGES = {"chest radiograph": 6, "HRCT of 24 slices": 24}
"""How many images of 224 x 224 networks of the published sizes would read of a study: its six zones, or its slices."""
BATCH = 6


def measure_around_graphs(bench: Bench) -> Iterator[Measurement]:
    """Measure seconds from the files to the findings, and of these what the graphs took, in one process."""
    around: dict[str, float] = {}
    for kind, (pipeline, number) in KINDS.items():
        totals, graphs = _measure(pipeline, drawn_sample(bench.samples, number), repeats=bench.repeats)
        yield _beside_graphs(kind, totals, graphs)
        around[kind] = statistics.median(total - graph for total, graph in zip(totals, graphs, strict=True))
        bench.advance(kind)
    seconds = sum(_seconds_of_batch(name, bench) for name in FULL_SIZE) / BATCH
    for kind, images in FULL_SIZE_IMAGES.items():
        yield _beside_full_size(kind, around[kind], images * seconds)
    yield Measurement(name="load of the machine meanwhile", value=os.getloadavg()[0], unit="processes")


def _measure(pipeline: str, sample: Path, *, repeats: int) -> tuple[list[float], list[float]]:
    """Return the seconds of each repeat, and of these what the graphs took."""
    events: list[Event] = []
    choice = Settings().pipelines[pipeline]
    folder = default_packages_folder() / choice.package / choice.version
    package = load_package(folder, provider="cpu", threads=os.cpu_count() or 1, observer=events.append)
    instances = [instance_with_attributes(path) for path in sorted(sample.glob("*.dcm"))]
    totals, graphs = [], []
    for repeat in range(repeats + 1):
        events.clear()
        started = time.perf_counter()
        selection = PIPELINES[pipeline].select(instances, package.acceptance)
        if isinstance(selection, Refusal):
            raise TypeError(f"{sample.name} is refused: {selection.reasons}")
        result = PIPELINES[pipeline].run(selection, package, analysed_at=datetime(2026, 1, 1, tzinfo=UTC))
        if result.outcome is not Outcome.FINDINGS:
            raise ValueError(f"{sample.name} ended as {result.outcome}, not with its findings")
        if repeat:
            totals.append(time.perf_counter() - started)
            graphs.append(sum(event.seconds for event in events if isinstance(event, InferenceFinished)))
    return totals, graphs


def _beside_graphs(kind: str, totals: list[float], graphs: list[float]) -> Measurement:
    ratios = [total / graph for total, graph in zip(totals, graphs, strict=True)]
    return Measurement(
        name=f"files to findings, {kind}",
        value=round(statistics.median(totals), 4),
        unit="s",
        against=GRAPHS,
        ratio=round(statistics.median(ratios), 3),
        spread=round(spread(totals), 3),
    )


def _seconds_of_batch(name: str, bench: Bench) -> float:
    """Return the median seconds of a network of the published size on ONNX Runtime for one batch."""
    _, model, contract = full_size(name, bench.disk)
    session = Session(model, contract, where=name, provider="cpu", threads=os.cpu_count() or 1)
    inputs = {"image": np.random.default_rng(1).random((BATCH, 1, SIDE, SIDE), np.float32)}
    session.run(inputs)
    found = statistics.median(timed(lambda: session.run(inputs)) for _ in range(bench.repeats))
    bench.advance(f"{name}, full size")
    return found


def _beside_full_size(kind: str, around: float, graphs: float) -> Measurement:
    """Compute what a study would cost with networks of the published sizes and the same work around them."""
    total = around + graphs
    return Measurement(
        name=f"files to findings, {kind}, with graphs of the published sizes",
        value=round(total, 4),
        unit="s",
        against=f"{', '.join(FULL_SIZE)} on {FULL_SIZE_IMAGES[kind]} images",
        ratio=round(total / graphs, 3),
    )

# SPDX-License-Identifier: Apache-2.0
"""What one mammography exam of four views of 27 MB costs: seconds an image without the graph, and peak memory."""

import os
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from service.bootstrap.peak_memory import PeakMemory
from service.dicom.pixels import read_image
from service.domain.event import Event, InferenceFinished
from service.domain.study import Refusal
from service.imaging.radiograph import as_mammogram
from service.inference.package import default_packages_folder, load_package
from service.pipelines import PIPELINES
from service.settings import Settings
from tests.benchmarks.bench import Bench
from tests.benchmarks.instances import instance_with_attributes
from tests.benchmarks.measure import Measurement, alone
from tests.chaos.studies import drawn_sample

PIPELINE, SAMPLE = "mammography", "6"
ROWS, COLUMNS = 4096, 3328
MEGABYTE = 1_000_000


def measure_one_exam(bench: Bench) -> Iterator[Measurement]:
    """Measure one exam, on one thread, after one that does not count."""
    events: list[Event] = []
    choice = Settings().pipelines[PIPELINE]
    folder = default_packages_folder() / choice.package / choice.version
    package = load_package(folder, provider="cpu", threads=1, observer=events.append)
    files = full_size_views(drawn_sample(bench.samples, SAMPLE), bench.disk / "full-size-views")
    pipeline = PIPELINES[PIPELINE]
    selection = pipeline.select([instance_with_attributes(path) for path in files], package.acceptance)
    if isinstance(selection, Refusal):
        raise TypeError(f"the exam is refused: {selection.reasons}")
    seconds: list[float] = []
    around: list[float] = []
    peaks: list[float] = []
    for repeat in range(bench.repeats + 1):
        events.clear()
        peak, started = PeakMemory(), time.perf_counter()
        pipeline.run(selection, package, analysed_at=datetime(2026, 1, 1, tzinfo=UTC))
        elapsed = time.perf_counter() - started
        if repeat:
            seconds.append(elapsed)
            peaks.append(peak.growth() / MEGABYTE)
            graphs = sum(event.seconds for event in events if isinstance(event, InferenceFinished))
            around.append((elapsed - graphs) / len(files))
        bench.advance(f"exam {repeat}")
    yield alone("mammography of 4 views of 27 MB, one thread", "s", seconds)
    yield alone("mammogram of 27 MB, file to findings without the graph, one thread", "s", around)
    yield alone("mammography of 4 views of 27 MB, growth of memory at its peak", "MB", peaks)
    yield _copies(files[0])
    yield Measurement(name="load of the machine meanwhile", value=os.getloadavg()[0], unit="processes")


def _copies(file: Path) -> Measurement:
    """Measure how often a view's stored pixels would go into what Python allocates at the peak of decoding it."""
    tracemalloc.start()
    try:
        as_mammogram(read_image(file))
        copies = tracemalloc.get_traced_memory()[1] / (ROWS * COLUMNS * 2)
    finally:
        tracemalloc.stop()
    name = "mammogram of 27 MB, file to display grey: copies of its pixels at the peak"
    return Measurement(name=name, value=round(copies, 2), unit="copies")


def full_size_views(sample: Path, folder: Path) -> list[Path]:
    """Write the views of a sample with 4096 x 3328 pixels; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for path in sorted(sample.glob("*.dcm")):
        dataset = dcmread(path)
        _enlarge(dataset)
        files.append(folder / path.name)
        dataset.save_as(files[-1])
    return files


def _enlarge(dataset: Dataset) -> None:
    """Draw each pixel again, nearest first; what the columns lack is air, opposite to the chest wall."""
    pixels = dataset.pixel_array
    scale = pixels.shape[0] / ROWS
    rows = (np.arange(ROWS) * scale).astype(np.intp)
    columns = (np.arange(min(COLUMNS, int(pixels.shape[1] / scale))) * scale).astype(np.intp)
    picture = pixels[rows][:, columns]
    missing = COLUMNS - picture.shape[1]
    has_wall_left = pixels[:, 0].mean() > pixels[:, -1].mean()
    picture = np.pad(picture, ((0, 0), (0, missing) if has_wall_left else (missing, 0)), mode="edge")
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.ImagerPixelSpacing = [round(spacing * scale, 6) for spacing in dataset.ImagerPixelSpacing]
    dataset.PixelData = picture.tobytes()

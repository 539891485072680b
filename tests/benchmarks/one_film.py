# SPDX-License-Identifier: Apache-2.0
"""What one chest film costs: seconds, peak memory, and what explaining it and checking how it lies take of that."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from service.bootstrap.peak_memory import PeakMemory
from service.domain.event import Event, InferenceFinished
from service.domain.study import Refusal
from service.inference.package import default_packages_folder, load_package
from service.pipelines import PIPELINES
from service.settings import Settings
from tests.benchmarks.bench import Bench
from tests.benchmarks.instances import instance_with_attributes
from tests.benchmarks.measure import Measurement, alone
from tests.chaos.studies import drawn_sample

PIPELINE = "pneumoconiosis"
PARTS = {"reading": ("zones", 0), "zone shares": ("zones", 1), "outlines": ("lungseg", 0), "view check": ("lungseg", 1)}
"""Each pass of a graph by what it is for: the graph, and which of its calls."""
MEGABYTE = 1_000_000


def measure_one_film(bench: Bench) -> Iterator[Measurement]:
    """Measure one film, on one thread, after one that does not count."""
    events: list[Event] = []
    choice = Settings().pipelines[PIPELINE]
    folder = default_packages_folder() / choice.package / choice.version
    package = load_package(folder, provider="cpu", threads=1, observer=events.append)
    sample = drawn_sample(bench.samples, "1")
    pipeline = PIPELINES[PIPELINE]
    selection = pipeline.select([instance_with_attributes(path) for path in sample.glob("*.dcm")], package.acceptance)
    if isinstance(selection, Refusal):
        raise TypeError(f"{sample.name} is refused: {selection.reasons}")
    seconds: list[float] = []
    growth = 0.0
    parts: dict[str, list[float]] = {name: [] for name in PARTS}
    for repeat in range(bench.repeats + 1):
        events.clear()
        peak, started = PeakMemory(), time.perf_counter()
        pipeline.run(selection, package, analysed_at=datetime(2026, 1, 1, tzinfo=UTC))
        elapsed = time.perf_counter() - started
        if not repeat:
            growth = peak.growth() / MEGABYTE  # what is freed stays with the process: later films need no more
        else:
            seconds.append(elapsed)
            for name, (graph, call) in PARTS.items():
                parts[name].append(_seconds(events, graph, call))
        bench.advance(f"film {repeat}")
    yield alone("one film, one thread", "s", seconds)
    yield alone("one film, growth of memory at its peak, the first in a process", "MB", [growth])
    for name, values in parts.items():
        yield alone(f"one film, graph of the {name}", "s", values)
    yield Measurement(name="load of the machine meanwhile", value=os.getloadavg()[0], unit="processes")


def _seconds(events: list[Event], graph: str, call: int) -> float:
    """Return how long a call of a graph took."""
    calls = [event.seconds for event in events if isinstance(event, InferenceFinished) and event.graph == graph]
    if len(calls) <= call:
        raise ValueError(f"graph {graph} was called {len(calls)} times; the film was not read as expected")
    return calls[call]

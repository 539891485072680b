# SPDX-License-Identifier: Apache-2.0
"""How much longer an analysis takes beside a shadow package that is busy all the time."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from service.bootstrap.crews import start_pool
from service.bootstrap.messages import REQUEST
from service.bootstrap.packages import choose_packages
from service.domain.errors import WorkerError
from service.domain.result import Priority
from service.domain.study import Selection
from service.inference.package import load_package
from service.inference.worker import WorkerPool
from service.pipelines import PIPELINES
from service.ports import AnalysisRequest
from service.settings import Settings
from tests.benchmarks.around_graphs import KINDS
from tests.benchmarks.bench import Bench
from tests.benchmarks.instances import instance_with_attributes
from tests.benchmarks.measure import Measurement, compared
from tests.chaos.studies import drawn_sample

FILM, HRCT = "chest radiograph", "HRCT of 24 slices"
ALONE, BESIDE = "alone", "beside a busy shadow"


def measure_shadowing(bench: Bench) -> Iterator[Measurement]:
    """Measure a radiograph and an HRCT, with and without a shadow that analyses one HRCT after the other."""
    settings = Settings()
    choices = choose_packages(settings, cores=os.cpu_count() or 1)
    pool = partial(start_pool, settings, choices, lambda _report: None, observe=lambda _event: None)
    active, shadow = pool(idle=False), pool(idle=True)
    try:
        active.wait_ready(300)
        shadow.wait_ready(300)
        for kind in (FILM, HRCT):
            study = _task(kind, bench, folder=bench.disk / "active")
            other = _task(HRCT, bench, folder=bench.disk / "shadow")
            found = _interleaved(active, study, shadow, other, repeats=bench.repeats)
            yield from compared(f"analysis beside a busy shadow, {kind}", "s", found, ours=BESIDE)
            bench.advance(kind)
    finally:
        active.kill()
        shadow.kill()


def _interleaved(
    active: WorkerPool, study: dict[str, object], shadow: WorkerPool, other: dict[str, object], *, repeats: int
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {ALONE: [], BESIDE: []}
    for repeat in range(repeats + 1):
        alone = _seconds(active, study)
        with _busy(shadow, other):
            beside = _seconds(active, study)
        if repeat:
            found[ALONE].append(alone)
            found[BESIDE].append(beside)
    return found


@contextmanager
def _busy(pool: WorkerPool, task: dict[str, object]) -> Iterator[None]:
    stopping = threading.Event()

    def work() -> None:
        while not stopping.is_set():
            try:
                pool.call(task)
            except WorkerError:
                return

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    time.sleep(0.3)
    yield
    stopping.set()
    thread.join()


def _seconds(pool: WorkerPool, task: dict[str, object]) -> float:
    started = time.monotonic()
    pool.call(task)
    return time.monotonic() - started


def _task(kind: str, bench: Bench, *, folder: Path) -> dict[str, object]:
    pipeline, number = KINDS[kind]
    sample = drawn_sample(bench.samples, number)
    folder.mkdir(exist_ok=True)
    choice = choose_packages(Settings(), cores=1)[pipeline]
    package = load_package(choice.folder, provider="cpu")
    instances = [instance_with_attributes(path) for path in sorted(sample.glob("*.dcm"))]
    selection = PIPELINES[pipeline].select(instances, package.acceptance)
    if not isinstance(selection, Selection):
        raise TypeError(f"{sample.name} is refused: {selection.reasons}")
    request = AnalysisRequest(
        job_key="bench",
        pipeline=pipeline,
        package=package.identity,
        study_instance_uid=instances[0].study_instance_uid,
        instances=selection.instances,
        flags=selection.flags,
        folder=folder,
        analysed_at=datetime(2026, 1, 1, tzinfo=UTC),
        priority=Priority.ROUTINE,
    )
    return {"task": "analyse", "request": REQUEST.dump_python(request, mode="json")}

# SPDX-License-Identifier: Apache-2.0
"""The long series of the benchmark is one that the pipeline takes, and its stages add up."""

import itertools
import time
from pathlib import Path

import pydicom
import pytest

from service.domain.study import Selection
from service.pipelines import PIPELINES
from tests.benchmarks.instances import instance_with_attributes
from tests.benchmarks.long_series import STAGES, Stopwatch, write_long_series


def test_few_drawn_slices_make_a_series_without_gaps_that_is_selected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.benchmarks.long_series.DRAWN", 2)
    paths = sorted(write_long_series(tmp_path, 120).glob("*.dcm"))
    read = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    assert len({dataset.SOPInstanceUID for dataset in read}) == 120
    heights = [float(dataset.ImagePositionPatient[2]) for dataset in read]
    assert [round(upper - lower, 3) for upper, lower in itertools.pairwise(heights)] == [2.0] * 119
    selection = PIPELINES["diffuse_lung"].select([instance_with_attributes(path) for path in paths], {})
    assert isinstance(selection, Selection), selection


def work(seconds: float = 0.03) -> str:
    ends = time.process_time() + seconds
    while time.process_time() < ends:
        pass
    return "done"


def test_what_is_done_inside_a_stage_counts_for_it() -> None:
    watch = Stopwatch()
    assert watch.timed("lungs", work)() == "done"
    assert 0.03 <= watch.seconds["lungs"] < 1
    assert set(watch.seconds) == set(STAGES)
    assert watch.seconds["decode"] == 0


def test_a_stage_inside_another_counts_for_itself_alone() -> None:
    watch = Stopwatch()
    started = time.process_time()
    with watch.counting("lungs"):
        work()
        watch.timed("graph", work)(0.2)
    whole = time.process_time() - started
    assert 0.2 <= watch.seconds["graph"] < whole - 0.02
    assert sum(watch.seconds.values()) == pytest.approx(whole, abs=0.01)

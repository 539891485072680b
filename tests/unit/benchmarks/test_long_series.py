# SPDX-License-Identifier: Apache-2.0
"""The long series of the benchmark is one that the pipeline takes, and its stages add up."""

import itertools
import time
from pathlib import Path

import pydicom
import pytest

from service.domain.study import Selection
from service.pipelines import PIPELINES
from tests.benchmarks.around_graphs import instance_with_attributes
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


def test_what_is_done_inside_a_stage_counts_for_it() -> None:
    watch = Stopwatch()

    def work() -> str:
        ends = time.process_time() + 0.03
        while time.process_time() < ends:
            pass
        return "done"

    assert watch.timed("lungs", work)() == "done"
    assert 0.03 <= watch.seconds["lungs"] < 1
    assert set(watch.seconds) == set(STAGES)
    assert watch.seconds["decode"] == 0

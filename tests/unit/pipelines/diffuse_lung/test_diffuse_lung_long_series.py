# SPDX-License-Identifier: Apache-2.0
"""A long series needs time in proportion and little memory: measured in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, resource, sys, time
from dataclasses import replace
import numpy as np
from diffuse_lung_instances import ct_slice
from models.phantoms.computed_tomography import ChestPhantom
from service.domain.image import Affine, SlicePlane
from service.pipelines.diffuse_lung.extent import in_batches
from service.pipelines.diffuse_lung.findings import absent
from service.pipelines.diffuse_lung.lung_extent import measure_slices
from service.pipelines.diffuse_lung.maps import make_label_map
from service.pipelines.diffuse_lung.patches import PatchRecipe
from service.pipelines.diffuse_lung.slices import AxialSlice
from test_diffuse_lung_extent import PATTERNS

count, matrix = int(sys.argv[1]), int(sys.argv[2])
pixel_mm = 360.0 / matrix
drawn = ChestPhantom(seed=1, slices=24, matrix=matrix, pixel_mm=pixel_mm).slice(10).hounsfield
recipe = PatchRecipe(pixel_mm=max(0.6, pixel_mm))

def slices():
    for number in range(count):
        z = -float(number)
        yield AxialSlice(instance=ct_slice(number, z_mm=z), frame_number=None, hounsfield=drawn + number % 7,
                         spacing_mm=(pixel_mm, pixel_mm), to_stored=Affine(),
                         plane=SlicePlane(position_mm=(0, 0, z), orientation=(1, 0, 0, 0, 1, 0)))

def classify(patches):
    return np.tile(np.array([[1, 0, 0]], dtype=np.float32), (len(patches), 1))

started = time.process_time()
extent = measure_slices(slices, recipe, classify=in_batches(classify, 256), patterns=3)
seconds = time.process_time() - started
labels = make_label_map(extent, PATTERNS, reported=(), recipe=recipe)
assert len(extent.slices) == len(labels.labels) == count
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": seconds, "bytes": peak}))
"""
HERE = Path(__file__).parent


def measured(count: int, *, matrix: int) -> tuple[float, float]:
    """Return CPU seconds of the analysis, and the largest resident memory of the process in bytes."""
    paths = [str(HERE), str(HERE.parents[2]), str(HERE.parents[3])]
    program = f"import sys; sys.path[:0] = {paths!r}\n{PROGRAM}"
    command = [sys.executable, "-c", program, str(count), str(matrix)]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return float(answer["seconds"]), float(answer["bytes"])


@pytest.mark.timeout(900)
def test_three_times_the_slices_take_three_times_the_time_and_little_more_memory() -> None:
    seconds, peak = measured(100, matrix=128)
    longer, more = measured(300, matrix=128)
    assert longer < 5 * seconds
    assert more - peak < 60_000_000, "200 slices as float32 on the resampled grid would be 72 MB, with masks 150 MB"


@pytest.mark.full_size
@pytest.mark.timeout(1800)
def test_a_thousand_slices_need_less_than_two_gibibytes() -> None:
    _, peak = measured(1000, matrix=512)
    assert peak < 2 * 1024**3

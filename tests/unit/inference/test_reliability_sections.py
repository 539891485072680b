# SPDX-License-Identifier: Apache-2.0
"""A package that says how far its scores are to be believed is loaded, and what it says reaches the pipeline."""

from pathlib import Path

import numpy as np
import pytest
from hostile_reliability import DEPTHS, PLATT, SETS, add_distances, limits_of
from tiny_package import IMAGE, edit_manifest

from service.domain.reliability import CalibrationMethod, Limit, Reliability, SetMethod
from service.inference.manifest import Tensor
from service.inference.package import load_package
from service.inference.unlike import noise_like


def test_a_package_without_sections_says_nothing(tiny_folder: Path) -> None:
    assert load_package(tiny_folder).reliability == Reliability()


def test_a_package_that_finds_noise_strange_is_loaded_with_all_it_says(tiny_folder: Path) -> None:
    add_distances(tiny_folder, limits_of())
    edit_manifest(
        tiny_folder,
        lambda m: m.update(calibration=[PLATT], conformal=[SETS], disagreement=limits_of(threshold=0.2)[:1]),
    )
    package = load_package(tiny_folder)
    found = package.reliability
    assert [limit.output for limit in found.out_of_distribution] == list(DEPTHS)
    assert found.disagreement == (Limit(graph="zones", output="distance_shallow", threshold=0.2, quantile=0.99, n=100),)
    film, zone = found.calibration_of("film"), found.sets_of("zone")
    assert film is not None
    assert zone is not None
    assert (film.method, zone.method) == (CalibrationMethod.PLATT, SetMethod.ORDINAL)
    assert (found.calibration_of("zone"), found.sets_of("film")) == (None, None)
    assert set(package.run("zones", {"image": IMAGE})) == {"scaled", *DEPTHS}


def test_one_item_of_noise_that_passes_is_too_many(tiny_folder: Path) -> None:
    """The golden batch has two items; noise reaches from 0.03 to 0.98 in one of them and less far in the other."""
    add_distances(tiny_folder, limits_of())
    noise = noise_like(IMAGE, Tensor(dtype="float32", shape=(None, 1, 4, 6), value_range=(0, 1)))
    apart = np.ptp(noise.reshape(2, -1), axis=1)
    between = float(apart.mean())
    assert apart.min() < between < apart.max()
    edit_manifest(tiny_folder, lambda m: m.update(out_of_distribution=limits_of(threshold=between)))
    with pytest.raises(Exception, match="the graph stays within the limits"):
        load_package(tiny_folder)


def test_noise_fills_the_range_of_the_contract_and_leaves_masks() -> None:
    array = np.zeros((2, 2, 20, 20), np.float32)
    array[:, 1, 5:] = 1
    contract = Tensor(dtype="float32", shape=(None, 2, 20, 20), channels=("grey", "lung mask"), value_range=(0, 1))
    noise = noise_like(array, contract)
    assert noise.dtype == np.float32
    assert np.array_equal(noise[:, 1], array[:, 1])
    assert noise[:, 0].min() < 0.05
    assert noise[:, 0].max() > 0.95
    unnamed = noise_like(array, Tensor(dtype="float32", shape=(None, 2, 20, 20)))
    assert not np.array_equal(unnamed[:, 1], array[:, 1])
    assert np.array_equal(noise, noise_like(array, contract)), "the same noise each time"

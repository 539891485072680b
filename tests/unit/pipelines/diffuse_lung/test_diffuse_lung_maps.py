# SPDX-License-Identifier: Apache-2.0
"""The maps of a result hold what its numbers were counted from, each pixel where it lies in the stored slices."""

import numpy as np
import pytest
from diffuse_lung_instances import ct_slice
from numpy.typing import NDArray
from test_diffuse_lung_extent import PATTERNS, RECIPE, lungs

from models.phantoms.computed_tomography import ChestPhantom
from models.phantoms.computed_tomography.chest import NOT_LUNG, Slice
from service.domain.image import SlicePlane, StoredImage
from service.domain.result import LabelMap
from service.pipelines.diffuse_lung.extent import in_batches
from service.pipelines.diffuse_lung.findings import make_findings, reported
from service.pipelines.diffuse_lung.lung_extent import LungExtent, measure_slices
from service.pipelines.diffuse_lung.maps import make_abnormality_map, make_label_map
from service.pipelines.diffuse_lung.slices import upright


def mask(label_map: LabelMap, key: str) -> NDArray[np.bool_]:
    (segment,) = (segment for segment in label_map.segments if segment.key == key)
    return np.isin(label_map.labels, segment.values)


def test_a_pattern_is_drawn_where_it_was_counted() -> None:
    extent = lungs()
    drawn = make_label_map(extent, PATTERNS, reported=reported(extent, PATTERNS), recipe=RECIPE)
    assert [segment.key for segment in drawn.segments] == [
        "lung-right",
        "lung-left",
        "pattern-honeycombing",
        "pattern-reticulation",
    ]
    honeycombing = mask(drawn, "pattern-honeycombing")
    assert honeycombing[2, :12, :24].all(), "the lowest slice, the first row of tiles, the right lung"
    assert honeycombing.sum() == 12 * 24
    assert mask(drawn, "lung-right")[:, :24, :24].all()
    assert not (mask(drawn, "lung-right") & mask(drawn, "lung-left")).any()
    lung = mask(drawn, "lung-right").sum() + mask(drawn, "lung-left").sum()
    assert 100 * honeycombing.sum() / lung == pytest.approx(extent.percent(2))


def test_what_is_below_its_cut_off_is_not_drawn() -> None:
    extent = lungs()
    drawn = make_label_map(extent, PATTERNS, reported=(), recipe=RECIPE)
    assert [segment.group for segment in drawn.segments] == ["lungs", "lungs"]
    assert (mask(drawn, "lung-right") | mask(drawn, "lung-left")).sum() == np.count_nonzero(drawn.labels)


def test_segments_share_the_keys_of_findings() -> None:
    extent = lungs()
    shown = reported(extent, PATTERNS)
    keys = {finding.key for finding in make_findings(extent, PATTERNS, recipe=RECIPE)}
    drawn = make_label_map(extent, PATTERNS, reported=shown, recipe=RECIPE)
    assert {segment.key for segment in drawn.segments if segment.group == "patterns"} <= keys


def test_unclassified_tiles_have_no_abnormality() -> None:
    extent = lungs()
    section = extent.slices[0]
    section.classes[0, 0] = -1
    drawn = make_abnormality_map(extent, RECIPE)
    assert np.isnan(drawn.values[0, 0, 0])
    assert np.isfinite(drawn.values[0, 1:]).all()
    assert drawn.pixel_spacing_mm == pytest.approx((7.2, 7.2))
    # 12 pixels of 0.6 mm: the centre of the first tile is 5.5 pixels beyond that of the first pixel.
    assert drawn.planes[0].position_mm == pytest.approx((3.3, 3.3, 20.0))


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, -1, 0), (1, 0, 0, 0, -1, 0)])
def test_lungs_lie_over_lung_however_the_slice_is_stored(
    phantom: Slice, orientation: tuple[float, float, float, float, float, float]
) -> None:
    flips = slice(None, None, int(orientation[4])), slice(None, None, int(orientation[0]))
    truth = (phantom.truth != NOT_LUNG)[flips]
    drawn = make_label_map(extent_of(phantom, orientation), PATTERNS, reported=(), recipe=RECIPE)
    (labels,) = drawn.labels
    lung, right = labels > 0, np.isin(labels, drawn.segments[0].values)
    assert overlap(lung, truth) > 0.9
    assert overlap(lung, np.roll(truth, 6, axis=1)) < overlap(lung, truth), "a shift of 4 mm would be seen"
    patient_left = np.arange(labels.shape[1]) * orientation[0]
    assert centre(right, patient_left) < centre(lung, patient_left)


@pytest.fixture(scope="module")
def phantom() -> Slice:
    return ChestPhantom(seed=1, slices=24).slice(12)


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


def centre(mask: NDArray[np.bool_], along_columns: NDArray[np.float64]) -> float:
    return float((mask.sum(axis=0) * along_columns).sum() / mask.sum())


def extent_of(phantom: Slice, orientation: tuple[float, float, float, float, float, float]) -> LungExtent:
    pixels = (phantom.hounsfield + 1024).round().astype(np.uint16)
    stored = StoredImage(
        sop_instance_uid="1",
        pixels=pixels[:: int(orientation[4]), :: int(orientation[0])],
        bits_stored=16,
        photometric_interpretation="MONOCHROME2",
        rescale_intercept=-1024,
        spacing_mm=(phantom.pixel_mm, phantom.pixel_mm),
        plane=SlicePlane(position_mm=(0.0, 0.0, 0.0), orientation=orientation),
    )
    section = upright(stored, ct_slice(1, z_mm=0))
    return measure_slices(lambda: [section], RECIPE, classify=in_batches(_normal, 256), patterns=3)


def _normal(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.tile(np.array([[1, 0, 0]], dtype=np.float32), (len(patches), 1))

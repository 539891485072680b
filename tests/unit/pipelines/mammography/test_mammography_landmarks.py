# SPDX-License-Identifier: Apache-2.0
"""Nipple, pectoral muscle and density against the truth of phantoms, scanners drawn anew for each."""

from functools import cache

import numpy as np
import pytest
from scipy import ndimage, stats

from models.phantoms.mammogram.acquisition import random_scanner
from models.phantoms.mammogram.breast import Breast, Frame, random_breast
from models.phantoms.mammogram.shape import pectoral, skin_distance_mm, thickness_cm
from models.phantoms.mammogram.tissue import gland_cm
from models.phantoms.mammogram.view import PhantomView, draw_view
from service.imaging.masks import breast_mask
from service.pipelines.mammography.landmarks import Landmarks, find_landmarks
from service.pipelines.mammography.muscle import find_muscle

PITCH_MM = 0.4
FRAMES = {
    view: Frame(rows=600, columns=450, pitch_mm=PITCH_MM, nipple_row_mm=row)
    for view, row in {"CC": 120.0, "MLO": 144.0}.items()
}
SEEDS = range(12)


@cache
def measured(seed: int, view) -> tuple[Breast, PhantomView, np.ndarray, Landmarks]:
    breast = random_breast("L", 900 + seed)
    picture = draw_view(breast, view, pitch_mm=PITCH_MM, scanner=random_scanner(np.random.default_rng(seed)))
    mask = breast_mask(picture.grey)
    return breast, picture, mask, find_landmarks(picture.grey, mask, view=view, spacing_mm=PITCH_MM)


@pytest.mark.parametrize("view", ["CC", "MLO"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_nipple_is_where_it_was_drawn(seed, view):
    breast, _, _, found = measured(seed, view)
    x, y = found.nipple
    assert x * PITCH_MM == pytest.approx(breast.depth_mm, abs=8)
    assert y * PITCH_MM == pytest.approx(FRAMES[view].nipple_row_mm, abs=9)


def test_the_muscle_is_found_in_nearly_all_oblique_views():
    overlaps = []
    for seed in SEEDS:
        breast, _, mask, found = measured(seed, "MLO")
        truth = (pectoral(breast, "MLO", FRAMES["MLO"]) > 0.5) & mask
        muscle = np.zeros_like(mask) if found.muscle is None else found.muscle
        overlaps.append(2 * (truth & muscle).sum() / (truth.sum() + muscle.sum()))
    assert np.median(overlaps) > 0.95
    assert sum(overlap < 0.9 for overlap in overlaps) <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_no_muscle_is_found_where_there_is_none(seed):
    _, picture, mask, found = measured(seed, "CC")
    assert found.muscle is None
    assert find_muscle(picture.grey, mask, spacing_mm=PITCH_MM) is None


def dense_truth(breast: Breast, view, mask: np.ndarray) -> float:
    """The share of the breast, without skin and muscle, where gland is more than 0.15 of the path."""
    frame = FRAMES[view]
    distance = skin_distance_mm(breast, view, frame)
    thickness = thickness_cm(distance, breast)
    gland = gland_cm(breast, view, frame, distance_mm=distance, thickness=thickness)
    muscle = ndimage.binary_dilation(pectoral(breast, view, frame) > 0.2, iterations=8)
    inner = (distance > 8) & mask & ~muscle
    return float((gland / np.maximum(thickness, 0.5))[inner].__gt__(0.15).mean())


def test_density_follows_the_drawn_tissue():
    truth, found = [], []
    for seed in SEEDS:
        for view in ("CC", "MLO"):
            breast, _, mask, landmarks = measured(seed, view)
            truth.append(dense_truth(breast, view, mask))
            found.append(landmarks.dense_share)
    assert stats.spearmanr(truth, found)[0] > 0.8
    assert np.abs(np.subtract(found, truth)).mean() < 0.12


def test_a_mask_without_an_inside_has_no_density():
    mask = np.zeros((40, 30), dtype=bool)
    mask[10:30, :10] = True
    found = find_landmarks(np.full(mask.shape, 0.5, np.float32), mask, view="MLO", spacing_mm=PITCH_MM)
    assert (found.dense_share, found.dense_cm2, found.muscle) == (None, 0.0, None)
    assert found.nipple == (10.0, 20.0)

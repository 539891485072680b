# SPDX-License-Identifier: Apache-2.0
"""Deletion and insertion (Petsiuk 2018): taking away what the map calls important must cost the score more than chance.

A cell is taken away by the low-pass picture of the anatomy. Cells go in the order of the map and, for comparison, in
random orders; the area under the score is compared sample by sample.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from models.audit.checks import Check, by_cell, not_made, to_pixels
from models.audit.subject import Explain, Images, Maps, Samples, Targets
from service.imaging.shapley import in_mask_low_pass

NAMES = ("deletion", "insertion")
SIGNIFICANT = 0.05
FEWEST = 6
"""Samples that a signed-rank test needs before it can find anything at 5 %."""
_HALF = 0.5
"""Score from which something was found."""
_RANDOM_ORDERS = 4
_STEPS = 12


@dataclass(frozen=True, eq=False, slots=True)
class _Areas:
    """Area under the score (N,), from nothing to everything: in the map's order, and the mean of random orders."""

    ordered: NDArray[np.float64]
    random: NDArray[np.float64]


def check_deletion(
    explain: Explain, samples: Samples, targets: Targets, *, seed: int = 0, sigma_px: float
) -> tuple[Check, Check]:
    """Compare the map's order with random orders, deleting (the area must be smaller) and inserting (larger).

    Only samples with a score of 0.5 or more take part: where nothing was found there is nothing to take away. Nor is
    there where the picture with everything taken away scores as much: then no check is made.
    """
    found = explain(samples.inputs, targets)
    chosen = np.flatnonzero(found.scores >= _HALF)
    if len(chosen) < FEWEST:
        reason = f"only {len(chosen)} of {len(found.scores)} samples score 0.5 or more, {FEWEST} are needed"
        return not_made(NAMES[0], reason), not_made(NAMES[1], reason)
    images = samples.inputs[chosen]
    blurred = low_passed(images, samples.masks[chosen], sigma_px=sigma_px)
    left = float(explain(blurred, targets[chosen]).scores.mean())
    if left >= _HALF:
        reason = f"the low-pass picture alone scores {left:.2f} on average, so that nothing is taken away by it"
        return not_made(NAMES[0], reason), not_made(NAMES[1], reason)
    cells = by_cell(samples.masks[chosen], found.maps.shape[1:]) > 0
    rng = np.random.default_rng(seed)
    ranks = [_ranks(found.maps[chosen], cells)]
    ranks += [_ranks(rng.normal(size=cells.shape), cells) for _ in range(_RANDOM_ORDERS)]
    deleted, inserted = (
        [_area(explain, first, other, rank=rank, targets=targets[chosen]) for rank in ranks]
        for first, other in ((images, blurred), (blurred, images))
    )
    return _check(NAMES[0], _areas(deleted), sign=-1), _check(NAMES[1], _areas(inserted), sign=1)


def _areas(areas: list[NDArray[np.float64]]) -> _Areas:
    return _Areas(ordered=areas[0], random=np.mean(areas[1:], axis=0))


def low_passed(images: Images, masks: NDArray[np.bool_], *, sigma_px: float) -> Images:
    """Return the images with channel 0 smoothed inside the masks."""
    smooth = images.copy()
    for target, image, mask in zip(smooth, images, masks, strict=True):
        target[0] = in_mask_low_pass(image[0], mask, sigma_px=sigma_px)
    return smooth


def _ranks(maps: Maps, cells: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return each cell's place in [0, 1), 0 for the highest; cells outside the anatomy come at 1 and never move."""
    ordered = np.where(cells, maps, -np.inf).reshape(len(maps), -1)
    places = np.argsort(np.argsort(-ordered, axis=1, kind="stable"), axis=1).reshape(maps.shape)
    return np.where(cells, places / cells.sum(axis=(1, 2), keepdims=True), 1.0)


def _area(
    explain: Explain, first: Images, other: Images, *, rank: NDArray[np.float64], targets: Targets
) -> NDArray[np.float64]:
    """Return the mean score (N,) while cells of `first` give way to those of `other`, in the order of the ranks."""
    scores = []
    for share in np.linspace(0, 1, _STEPS + 1):
        gone = to_pixels(rank < share, first.shape[2:])
        scores.append(explain(np.where(gone[:, None], other, first), targets).scores)
    return np.asarray(np.trapezoid(scores, dx=1 / _STEPS, axis=0))


def _check(name: str, areas: _Areas, *, sign: int) -> Check:
    """Decide by a one-sided signed-rank test over samples."""
    gain = sign * (areas.ordered - areas.random)
    p_value = 1.0 if not gain.any() else float(wilcoxon(gain, alternative="greater").pvalue)
    ordered, random = float(areas.ordered.mean()), float(areas.random.mean())
    return Check(
        name=name,
        passed=p_value < SIGNIFICANT,
        sentence=f"area under the score {ordered:.3f} in the map's order, {random:.3f} in random order "
        f"({'smaller' if sign < 0 else 'larger'} is better); better in {np.mean(gain > 0):.0%} of "
        f"{len(gain)} samples, p = {p_value:.2g}",
        values={"ordered": round(ordered, 4), "random": round(random, 4), "p": p_value, "samples": len(gain)},
    )

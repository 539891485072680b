# SPDX-License-Identifier: Apache-2.0
"""Exact Shapley values over a few anatomical regions: what each contributes to a score, in the score's own unit.

Nothing is sampled: with R regions the score is asked 2^R times (64 for the six lung zones). A region is taken away by
replacing it with its own low-pass picture, so that its brightness stays and its detail goes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import factorial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft

MAX_REGIONS: Final = 12
"""4,096 scores; more regions need sampling, which would not be exact."""

Coalitions = NDArray[np.bool_]
Images = NDArray[np.float32]
CoalitionScore = Callable[[Coalitions], NDArray[Any]]
ImageScore = Callable[[Images], NDArray[Any]]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ShapleyValues:
    """What each region contributes: `values` (R,) float64, in the score's unit, add up to `full - baseline`.

    `residual` is how far they miss that, asked independently: rounding, unless the score is not a function.
    """

    values: NDArray[np.float64]
    full: float
    baseline: float
    residual: float


def shapley_values(score: CoalitionScore, regions: int, *, batch: int = 64) -> ShapleyValues:
    """Return the Shapley values of a game among `regions` players.

    Parameters
    ----------
    score
        Maps coalitions (B, R), True where a region is present, to scores (B,), B at most `batch`.

    Raises
    ------
    ValueError
        There is no region, or more than 12; or a score is not finite.
    """
    if not 1 <= regions <= MAX_REGIONS:
        raise ValueError(f"{regions} regions: exact Shapley values are for 1 to {MAX_REGIONS}; join some")
    everyone = _coalitions(regions)
    scores = np.concatenate([_scores(score, part) for part in _batches(everyone, batch)])
    full, baseline = float(scores[-1]), float(scores[0])
    values = np.array([_value(scores, everyone, player) for player in range(regions)])
    return ShapleyValues(values=values, full=full, baseline=baseline, residual=abs(values.sum() - (full - baseline)))


def _coalitions(regions: int) -> Coalitions:
    """Return (2^R, R): row s holds the bits of s, so that the first is nobody and the last everybody."""
    return np.array(np.arange(2**regions)[:, None] >> np.arange(regions) & 1, dtype=np.bool_)


def _batches(coalitions: Coalitions, batch: int) -> Iterator[Coalitions]:
    for start in range(0, len(coalitions), batch):
        yield coalitions[start : start + batch]


def _scores(score: CoalitionScore, coalitions: Coalitions) -> NDArray[np.float64]:
    scores = np.asarray(score(coalitions), dtype=np.float64)
    if scores.shape != (len(coalitions),) or not np.isfinite(scores).all():
        raise ValueError(f"a score of shape {scores.shape} for {len(coalitions)} coalitions, or one that is not finite")
    return scores


def _value(scores: NDArray[np.float64], everyone: Coalitions, player: int) -> float:
    """Average what the player adds to the coalitions without it, by the share of orders in which it finds them."""
    regions = everyone.shape[1]
    without = np.flatnonzero(~everyone[:, player])
    sizes = everyone[without].sum(axis=1)
    orders = np.array([factorial(size) * factorial(regions - size - 1) for size in range(regions)])
    share = orders[sizes] / factorial(regions)
    return float((share * (scores[without + 2**player] - scores[without])).sum())


def region_shapley(
    image: Images, baseline: Images, regions: Coalitions, *, score: ImageScore, batch: int = 16
) -> ShapleyValues:
    """Return what each region of an image contributes to its score.

    Parameters
    ----------
    image, baseline
        (..., H, W): the image, and what stands in a region that is taken away (`in_mask_low_pass`).
    regions
        (R, H, W), disjoint; what lies outside all of them stays as it is.
    score
        Maps images (B, ..., H, W) to scores (B,).

    Raises
    ------
    ValueError
        Regions overlap, or shapes do not fit.
    """
    if image.shape != baseline.shape or regions.ndim != 3 or regions.shape[1:] != image.shape[-2:]:
        raise ValueError(f"image {image.shape}, baseline {baseline.shape} and regions {regions.shape} do not fit")
    if (regions.sum(axis=0) > 1).any():
        raise ValueError("regions overlap; a place must belong to one of them")

    # One past the last region is what lies outside of all: it is never absent.
    place = np.where(regions.any(axis=0), regions.argmax(axis=0), len(regions))

    def of_coalitions(coalitions: Coalitions) -> NDArray[Any]:
        absent = np.pad(~coalitions, ((0, 0), (0, 1)))[:, place]
        middle = (1,) * (image.ndim - 2)
        return score(np.where(absent.reshape(len(absent), *middle, *absent.shape[1:]), baseline, image))

    found = shapley_values(of_coalitions, len(regions), batch=batch)
    replaced = np.where(regions.any(axis=0), baseline, image)
    direct = float(score(image[None])[0]) - float(score(replaced[None])[0])
    residual = max(found.residual, abs(float(found.values.sum()) - direct))
    return ShapleyValues(values=found.values, full=found.full, baseline=found.baseline, residual=residual)


def in_mask_low_pass(image: Images, mask: NDArray[np.bool_], *, sigma_px: float) -> Images:
    """Return the image with the mask's inside smoothed by a Gaussian of the values inside alone; outside unchanged.

    `image` is (..., H, W), `mask` (H, W), `sigma_px` in pixels.
    """
    weight = _low_pass(mask.astype(np.float32), sigma_px)
    smooth = _low_pass(np.where(mask, image, np.float32(0)), sigma_px) / np.maximum(weight, 1e-6)
    return np.asarray(np.where(mask, smooth, image), dtype=np.float32)


def _low_pass(image: Images, sigma_px: float) -> NDArray[np.float64]:
    """Do as scipy's gaussian_filter over the last two axes: four sigmas of kernel, the picture mirrored at its edges.

    Mirrored at the edge, an even kernel is a factor for each cosine of the picture (DCT-II), whatever its width.
    """
    radius = int(4.0 * sigma_px + 0.5)
    kernel = np.exp(-0.5 * (np.arange(radius + 1) / sigma_px) ** 2)
    kernel[1:] *= 2
    kernel /= kernel.sum()
    spectrum = fft.dctn(image.astype(np.float64), axes=(-2, -1), norm="ortho", overwrite_x=True)
    spectrum *= _response(kernel, image.shape[-2])[:, None] * _response(kernel, image.shape[-1])
    return np.asarray(fft.idctn(spectrum, axes=(-2, -1), norm="ortho", overwrite_x=True))


def _response(kernel: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return what the kernel (its middle, then both sides added up) makes of each of `size` cosines."""
    angles = np.pi / size * np.arange(size)[:, None] * np.arange(len(kernel))
    return np.asarray(np.cos(angles) @ kernel)

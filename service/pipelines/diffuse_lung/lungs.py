# SPDX-License-Identifier: Apache-2.0
"""Finds the right and the left lung on one axial slice, without the airways, and tells lung from other air.

Thresholds and morphology miss lung without any air (consolidation) at the pleura that is wider than the closing; what
a package's graph sees of it is added (`dense`).
What one slice cannot know (is this air the trachea's?) is settled over all slices, see `volume`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from service.imaging.masks import Mask, close_gaps, fill_holes, largest_components
from service.imaging.morphology import dilated, eroded, opened, within
from service.pipelines.diffuse_lung.dense import SeeLung, lost_lung

RIGHT: Final = 1
LEFT: Final = 2
Sides = NDArray[np.uint8]
"""Per pixel 0 (no lung), RIGHT or LEFT: of the patient, on a slice whose columns grow to the patient's left."""
AIRWAY: Final = 4
LUMEN: Final = 8
LOST: Final = 4
"""How far RIGHT and LEFT are shifted where lung is seen that thresholds do not find."""

_GRID_MM: Final = 1.2
_BODY_HU: Final = -400.0
_SMALLEST_CM2: Final = 1.5
_AIRWAY_LARGEST_CM2: Final = 8.0
_AIRWAY_REACH_MM: Final = 45.0
_AIRWAY_HU: Final = -935.0
_LUMEN_REACH_MM: Final = 70.0
_LUMEN_HU: Final = -900.0
_GAS_HU: Final = -965.0
_DENSE_HU: Final = -190.0
_DENSE_BLUR_MM: Final = 2.0
_SKIN_MM: Final = 6.0
_RIM_MM: Final = 2.4
_SMALLEST_DENSE_CM2: Final = 0.5
_DENSE_REACH_MM: Final = 12.0
_GROUPING_MM: Final = 3.0
_CLOSING_MM: Final = 6.0
_CUT_MM: Final = 10.0
_EDGE_AIR_HU: Final = -950.0


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Survey:
    """What one slice shows on a grid `step` times coarser than its own.

    `codes` is uint8 (rows, columns): bits RIGHT and LEFT of the lungs, AIRWAY for what was left out of them as trachea
    or main bronchus, LUMEN for every piece of air that may belong to the airways, wherever it lies; RIGHT and LEFT,
    shifted by LOST, of lung without air that a graph sees: a candidate, which the other slices may bear out.
    """

    codes: NDArray[np.uint8]
    step: int
    middle_column: int

    @property
    def sides(self) -> Sides:
        """The lungs as thresholds find them on this slice alone."""
        return np.asarray(self.codes & (RIGHT | LEFT))


def find_lungs(hounsfield: NDArray[np.float32], *, pixel_mm: float) -> Sides:
    """Return the sides of the lungs on a slice of square pixels; all 0 where there is none."""
    found = survey(hounsfield, pixel_mm=pixel_mm)
    return refine(found.sides, found.step, shape=(hounsfield.shape[0], hounsfield.shape[1]))


def survey(hounsfield: NDArray[np.float32], *, pixel_mm: float, see: SeeLung | None = None) -> Survey:
    """Find lungs and airways on a slice of square pixels, on a grid of about 1.2 mm; `see` adds candidates."""
    step = grid_step(pixel_mm)
    coarse_mm = step * pixel_mm
    small = _averaged(hounsfield, step)
    body = _body(small)
    air = (small < _BODY_HU) & body
    airways = _airways(small, air, body, coarse_mm)
    lung_air = _lung_air(small, air & ~airways, body, coarse_mm)
    lung = lung_air | _dense_lung(small, lung_air, body & ~airways, coarse_mm)
    closing_px = round(_CLOSING_MM / coarse_mm)
    sides = _sides(lung, body, closing_px=closing_px)
    lost = np.zeros_like(sides)
    if see is not None:
        inner = eroded(body, iterations=max(1, round(_SKIN_MM / coarse_mm))) & ~airways
        more = lost_lung(small, see(small, coarse_mm) & inner, sides > 0, pixel_mm=coarse_mm)
        lost[:] = np.where(sides > 0, 0, _sides(lung | more, body, closing_px=closing_px)) if more.any() else 0
    codes = (
        sides
        | (lost << LOST)
        | np.where(airways & body, AIRWAY, 0)
        | np.where(_lumen(small, air, body, coarse_mm), LUMEN, 0)
    )
    return Survey(codes=codes.astype(np.uint8), step=step, middle_column=_middle_column(body) if body.any() else 0)


def _averaged(hounsfield: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Average over a square of `step` pixels around each of the coarse grid; rows between are not averaged across."""
    if step == 1:
        return hounsfield
    rows = ndimage.uniform_filter1d(hounsfield, step, axis=0)[::step]
    return np.asarray(ndimage.uniform_filter1d(rows, step, axis=1)[:, ::step])


def grid_step(pixel_mm: float) -> int:
    """Return how many pixels one of the coarse grid is wide."""
    return max(1, round(_GRID_MM / pixel_mm))


def refine(coarse: NDArray[np.uint8], step: int, *, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring a map of the coarse grid back to the slice's own."""
    return np.repeat(np.repeat(coarse, step, axis=0), step, axis=1)[: shape[0], : shape[1]]


def cut_mm(hounsfield: NDArray[np.float32], *, pixel_mm: float) -> float:
    """Return how much lung lies on the left and right edge of a slice, mm: the field of view cuts it off.

    On an edge, lung is a run of at least 10 mm with tissue above and below that is denser than air. It is open to the
    outside, so that `find_lungs` does not take it for lung.
    """
    step = grid_step(pixel_mm)
    coarse_mm = step * pixel_mm
    last = (hounsfield.shape[1] - 1) // step * step
    first_column = _averaged(hounsfield[:, : 2 * step], step)[:, 0]
    last_column = _averaged(hounsfield[:, max(0, last - step) :], step)[:, -1]
    return sum(length for edge in (first_column, last_column) for length in _lung_runs_mm(edge, coarse_mm))


def _lung_runs_mm(edge: NDArray[np.float32], pixel_mm: float) -> Iterator[float]:
    runs, _ = ndimage.label(edge < _BODY_HU)
    for (run,) in ndimage.find_objects(runs):
        is_open = run.start == 0 or run.stop == edge.size
        length = (run.stop - run.start) * pixel_mm
        if not is_open and length >= _CUT_MM and np.median(edge[run]) > _EDGE_AIR_HU:
            yield length


def _body(hounsfield: NDArray[np.float32]) -> Mask:
    return fill_holes(largest_components(opened(hounsfield > _BODY_HU, iterations=2)))


def _lung_air(hounsfield: NDArray[np.float32], air: Mask, body: Mask, pixel_mm: float) -> Mask:
    """Return air inside the body without bowel gas and specks.

    Small pieces that lie close together count as one: honeycomb cells are air between dense walls.
    """
    groups, count = ndimage.label(close_gaps(air, round(_GROUPING_MM / pixel_mm)) & body)
    labels = groups * air
    if count == 0:
        return air
    keep = (_areas_cm2(labels, count, pixel_mm) >= _SMALLEST_CM2) & (_medians(hounsfield, labels, count) > _GAS_HU)
    return _kept(labels, keep)


def _dense_lung(hounsfield: NDArray[np.float32], air: Mask, inside: Mask, pixel_mm: float) -> Mask:
    """Return lung that holds less air than `air` does and lies near it: ground glass, fine consolidation.

    Smoothed over 2 mm it is still less dense than fat. The lung's own rim, blurred into the chest wall, is none, nor is
    that of gas.
    """
    inner = eroded(inside, iterations=max(1, round(_SKIN_MM / pixel_mm)))
    inner &= ~_gas(hounsfield, (hounsfield < _BODY_HU) & inside & ~air, pixel_mm)
    dense = (ndimage.gaussian_filter(hounsfield, _DENSE_BLUR_MM / pixel_mm) < _DENSE_HU) & inner
    rim = max(1, round(_RIM_MM / pixel_mm))
    labels, count = ndimage.label(dense & ~dilated(air, iterations=rim))
    blobs = _kept(labels, _areas_cm2(labels, count, pixel_mm) >= _SMALLEST_DENSE_CM2)
    grown = dilated(blobs, iterations=rim + 1) & dense
    labels, count = ndimage.label(grown)
    near = np.bincount(labels[within(air, _DENSE_REACH_MM / pixel_mm)], minlength=count + 1)
    return _kept(labels, near[1:] > 0)


def _gas(hounsfield: NDArray[np.float32], air: Mask, pixel_mm: float) -> Mask:
    """Return pieces of pure gas with what the blur makes of their rim."""
    labels, count = ndimage.label(air)
    is_gas = (_areas_cm2(labels, count, pixel_mm) >= _SMALLEST_DENSE_CM2) & (
        _medians(hounsfield, labels, count) < _GAS_HU
    )
    return within(_kept(labels, is_gas), 2 * _DENSE_BLUR_MM / pixel_mm)


def _airways(hounsfield: NDArray[np.float32], air: Mask, body: Mask, pixel_mm: float) -> Mask:
    """Return trachea and main bronchi: single pieces of nearly pure air close to the middle of the body."""
    labels, count = ndimage.label(opened(air))
    if count == 0:
        return air
    areas = _areas_cm2(labels, count, pixel_mm)
    columns = _middles(labels, count)
    central = np.abs(columns - _middle_column(body)) * pixel_mm < _AIRWAY_REACH_MM
    is_airway = central & (areas < _AIRWAY_LARGEST_CM2) & (_medians(hounsfield, labels, count) < _AIRWAY_HU)
    return dilated(_kept(labels, is_airway), iterations=2)


def _lumen(hounsfield: NDArray[np.float32], air: Mask, body: Mask, pixel_mm: float) -> Mask:
    """Return pieces of air that airways may consist of: small, nearly pure, and not far from the middle of the body."""
    labels, count = ndimage.label(opened(air & (hounsfield < _LUMEN_HU)))
    if count == 0:
        return np.zeros_like(air)
    columns = np.abs(np.arange(air.shape[1]) - _middle_column(body)) * pixel_mm < _LUMEN_REACH_MM
    return _kept(labels, _areas_cm2(labels, count, pixel_mm) < _AIRWAY_LARGEST_CM2) & columns


def _middles(labels: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    """Return the mean column of each piece."""
    rows, columns = np.nonzero(labels)
    pieces = labels[rows, columns]
    sums = np.bincount(pieces, weights=columns, minlength=count + 1)[1:]
    return np.asarray(sums / np.bincount(pieces, minlength=count + 1)[1:])


def _areas_cm2(labels: NDArray[np.int32], count: int, pixel_mm: float) -> NDArray[np.float64]:
    pixels = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return np.asarray(pixels * (pixel_mm**2 / 100), dtype=np.float64)


def _medians(hounsfield: NDArray[np.float32], labels: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    """Return the median of each piece; 0 for a piece without pixels.

    scipy's own sorts the whole slice, of which the pieces are a third.
    """
    inside = labels > 0
    pieces, values = labels[inside], hounsfield[inside]
    values = values[np.lexsort((values, pieces))]
    pixels = np.bincount(pieces, minlength=count + 1)[1:]
    ends = np.cumsum(pixels)
    found = pixels > 0
    upper, lower = (ends - pixels + pixels // 2)[found], (ends - pixels + (pixels - 1) // 2)[found]
    medians = np.zeros(count)
    medians[found] = (values[lower] + values[upper]) / 2.0
    return medians


def _kept(labels: NDArray[np.int32], keep: NDArray[np.bool_]) -> Mask:
    kept: Mask = np.concatenate([[False], keep])[labels]
    return kept


def _sides(air: Mask, body: Mask, *, closing_px: int) -> Sides:
    """Give each piece of air to a side by its middle; a piece on both sides is cut at its emptiest column."""
    sides = np.zeros(air.shape, dtype=np.uint8)
    if not air.any():
        return sides
    middle = _middle_column(body)
    right, left = _split(air, middle)
    for value, lung in ((RIGHT, right), (LEFT, left)):
        closed = fill_holes(close_gaps(lung, closing_px)) & body
        sides[closed & (sides == 0) & ~(left if value == RIGHT else right)] = value
    return sides


def _middle_column(body: Mask) -> int:
    columns = np.flatnonzero(body.any(axis=0))
    return int(columns[0] + columns[-1] + 1) // 2


def _split(air: Mask, middle: int) -> tuple[Mask, Mask]:
    labels, count = ndimage.label(air)
    on_right = np.bincount(labels[:, :middle].ravel(), minlength=count + 1)[1:]
    shares = on_right / np.bincount(labels.ravel(), minlength=count + 1)[1:]
    right = _kept(labels, shares > 0.8)
    left = _kept(labels, shares < 0.2)
    for piece in 1 + np.flatnonzero((shares >= 0.2) & (shares <= 0.8)):
        lung = labels == piece
        cut = _emptiest_column(lung, middle)
        right[:, :cut] |= lung[:, :cut]
        left[:, cut:] |= lung[:, cut:]
    return right, left


def _emptiest_column(lung: Mask, middle: int) -> int:
    reach = lung.shape[1] // 10
    profile = lung[:, middle - reach : middle + reach].sum(axis=0)
    lowest = np.flatnonzero(profile == profile.min())
    return int(middle - reach + lowest[len(lowest) // 2])

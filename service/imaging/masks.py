# SPDX-License-Identifier: Apache-2.0
"""Masks of breast and lungs by threshold and morphology, and the cutting of lungs into zones; 2-D and 3-D."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from service.imaging.morphology import within

Mask = NDArray[np.bool_]
_BINS = 256


def otsu(values: NDArray[Any]) -> float:
    """Return the threshold that separates the values best into two classes (Otsu 1979, 256 bins)."""
    counts, edges = np.histogram(values, bins=_BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    total = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (total / below - (total[-1] - total) / above) ** 2
    best = np.nan_to_num(between)
    # Between two well separated classes every threshold is equally good: take the middle of them.
    return float(middles[np.flatnonzero(best >= best.max() * (1 - 1e-12))].mean())


def largest_components(mask: Mask, count: int = 1) -> Mask:
    """Keep the `count` largest connected components (faces touch)."""
    labels, found = ndimage.label(mask)
    if found <= count:
        return mask.copy()
    sizes = np.bincount(labels.ravel())[1:]
    keep = np.zeros(found + 1, dtype=np.bool_)
    keep[1 + np.argsort(sizes, kind="stable")[::-1][:count]] = True
    kept: Mask = keep[labels]
    return kept


def fill_holes(mask: Mask) -> Mask:
    """Fill what is enclosed; in a stack, slice by slice, because a bronchus links 3-D holes to the outside."""
    if mask.ndim == 2:
        return _filled(mask) if mask.size else mask.copy()
    return np.stack([fill_holes(plane) for plane in mask])


def _filled(mask: Mask) -> Mask:
    """Do as scipy's binary_fill_holes, which dilates from the edge until nothing changes: ten times its time."""
    labels, found = ndimage.label(~mask)
    outside = np.zeros(found + 1, dtype=np.bool_)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        outside[edge] = True
    outside[0] = False  # the mask itself
    filled: Mask = ~outside[labels]
    return filled


def close_gaps(mask: Mask, radius: int) -> Mask:
    """Close gaps up to twice the radius (pixels), in-plane, without shrinking at the picture's edge."""
    if radius < 1 or not mask.any():
        return mask.copy()
    if mask.ndim == 3:
        return np.stack([close_gaps(plane, radius) for plane in mask])
    # Nothing changes further from the mask than its own reach: the rest of the picture need not be looked at.
    window = _around(mask, margin=radius + 1)
    closed = mask.copy()
    closed[window] |= _closed(np.pad(mask[window], radius, mode="edge"), radius)[radius:-radius, radius:-radius]
    return closed


def _around(mask: Mask, *, margin: int) -> tuple[slice, slice]:
    """Return the window of a plane that holds the whole mask and `margin` pixels around it, as far as there are any."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )


def _closed(mask: Mask, radius: int) -> Mask:
    """Grow by a disc, and shrink by it again; where the grown mask has no outside, nothing shrinks it."""
    return ~within(~within(mask, radius), radius)


def remove_thin(mask: Mask, radius: int) -> Mask:
    """Remove what is narrower than twice the radius (pixels), in-plane; the picture's edge does not erode.

    What is left is grown back inside the mask, so that its outline stays where it was.
    """
    if radius < 1 or not mask.any() or mask.all():
        return mask.copy()
    if mask.ndim == 3:
        return np.stack([remove_thin(plane, radius) for plane in mask])
    core = ~within(~mask, radius)
    return within(core, radius + 1) & mask


def breast_mask(pixels: NDArray[np.float32]) -> Mask:
    """Return the breast on a presentation mammogram (0 black air): Otsu on the smoothed picture, one component.

    The threshold is found on the square root, because skin and fat are much darker than glands. An opening cuts off
    film edges and labels. Meant for pictures of at most about 1000 pixels: the outline needs no more.
    """
    size = max(pixels.shape)
    smooth = ndimage.gaussian_filter(np.sqrt(np.clip(pixels, 0, 1)), sigma=size / 256)
    return fill_holes(largest_components(remove_thin(smooth > otsu(smooth), size // 60)))


def lung_mask_ct(hounsfield: NDArray[np.float32], *, threshold: float = -320.0, closing_px: int = 6) -> Mask:
    """Return the lungs of an axial slice (rows, columns) or stack (slices, rows, columns) in Hounsfield units.

    Air that touches the border of a slice is outside the body; of the rest, pieces of at least a twentieth of the
    largest stay, because disease cuts a lung into several. Vessels and small consolidations are closed and filled.
    Dense lung at the pleura is missed, and gas in the bowel is taken: the package's network is there for that.
    """
    air = hounsfield < threshold
    inside = air & ~_touching_border(air)
    return fill_holes(close_gaps(_big_pieces(inside, share=0.05), closing_px))


def _touching_border(mask: Mask) -> Mask:
    if mask.ndim == 3:
        return np.stack([_touching_border(plane) for plane in mask])
    seeds = np.zeros_like(mask)
    seeds[[0, -1], :] = mask[[0, -1], :]
    seeds[:, [0, -1]] = mask[:, [0, -1]]
    touching: Mask = ndimage.binary_propagation(seeds, mask=mask)
    return touching


def _big_pieces(mask: Mask, *, share: float) -> Mask:
    labels, found = ndimage.label(mask)
    if found < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept: Mask = (sizes >= share * sizes.max())[labels] & mask
    return kept


def split_left_right(mask: Mask) -> tuple[Mask, Mask]:
    """Split a lung mask at the middle of its columns into picture-left and picture-right part.

    On a picture oriented ("L", "F") or ("L", "P") the first is the patient's right lung.
    """
    occupied = np.flatnonzero(mask.any(axis=tuple(range(mask.ndim - 1))))
    middle = mask.shape[-1] // 2 if occupied.size == 0 else _emptiest_column(mask, occupied)
    left, right = mask.copy(), mask.copy()
    left[..., middle:] = False
    right[..., :middle] = False
    return left, right


def _emptiest_column(mask: Mask, occupied: NDArray[np.intp]) -> int:
    """Return the column of fewest pixels in the middle third of the mask; of equals, the most central."""
    first, last = int(occupied[0]), int(occupied[-1]) + 1
    third = (last - first) // 3
    profile = mask.sum(axis=tuple(range(mask.ndim - 1)))[first + third : last - third]
    if profile.size == 0:
        return (first + last) // 2
    lowest = np.flatnonzero(profile == profile.min())
    return first + third + int(lowest[len(lowest) // 2])


def thirds(mask: Mask, axis: int = 0) -> tuple[Mask, Mask, Mask]:
    """Cut a lung into three zones of equal height along an axis, first to last (upper, middle, lower).

    For a stack sorted from feet to head, axis 0 gives lower, middle, upper.
    """
    others = tuple(index for index in range(mask.ndim) if index != axis)
    occupied = np.flatnonzero(mask.any(axis=others))
    first, last = (int(occupied[0]), int(occupied[-1]) + 1) if occupied.size else (0, mask.shape[axis])
    cuts = [first + round((last - first) * part / 3) for part in range(4)]
    zones = [_band(mask, axis, start=start, stop=stop) for start, stop in pairwise(cuts)]
    return zones[0], zones[1], zones[2]


def _band(mask: Mask, axis: int, *, start: int, stop: int) -> Mask:
    band = np.zeros_like(mask)
    where = (slice(None),) * axis + (slice(start, stop),)
    band[where] = mask[where]
    return band


def bounding_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Return the half-open (x0, y0, x1, y1) of a 2-D mask, None when it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def area_cm2(mask: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> float:
    """Return the area of a 2-D mask in square centimetres."""
    return float(np.count_nonzero(mask)) * spacing_mm[0] * spacing_mm[1] / 100

# SPDX-License-Identifier: Apache-2.0
"""Cuts a slice into tiles and the patches around them; the same code prepares training and analysis."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

from service.imaging.normalise import window_ct
from service.pipelines.diffuse_lung.lungs import LEFT, RIGHT, Sides


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchRecipe:
    """How patches are cut: pixel size, window, patch and tile size, and how much of a patch must be lung."""

    pixel_mm: float = 0.6
    window_hu: tuple[float, float] = (-1000.0, 200.0)
    patch_px: int = 48
    stride_px: int = 12
    least_lung: float = 0.75

    @property
    def margin_px(self) -> int:
        """How far a patch reaches beyond its tile, on each side."""
        return (self.patch_px - self.stride_px) // 2


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Tiling:
    """The tiles of one slice.

    `right` and `left` hold, per tile, how many pixels of it are that lung; `chosen` the (row, column) of the tiles
    whose patch is to be classified.
    """

    right: NDArray[np.int32]
    left: NDArray[np.int32]
    chosen: NDArray[np.intp]


def tile(sides: Sides, recipe: PatchRecipe) -> Tiling:
    """Lay tiles over a slice and choose those whose patch has enough lung and whose middle is lung."""
    right = count_pixels(sides == RIGHT, recipe.stride_px)
    left = count_pixels(sides == LEFT, recipe.stride_px)
    share = _patch_share(sides > 0, recipe)
    enough = (share >= recipe.least_lung) & (right + left > recipe.stride_px**2 // 2)
    return Tiling(right=right, left=left, chosen=np.argwhere(enough))


def cut_patches(hounsfield: NDArray[np.float32], tiling: Tiling, recipe: PatchRecipe) -> NDArray[np.float32]:
    """Return the patches of the chosen tiles, float32 (N, 1, patch, patch) in [0, 1], in their order."""
    low, high = recipe.window_hu
    shown = np.pad(window_ct(hounsfield, low=low, high=high), recipe.patch_px, mode="edge")
    views = sliding_window_view(shown, (recipe.patch_px, recipe.patch_px))
    corners = tiling.chosen * recipe.stride_px - recipe.margin_px + recipe.patch_px
    return np.ascontiguousarray(views[corners[:, 0], corners[:, 1]][:, None])


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Field:
    """A part of a slice that holds the patches of several chosen tiles, for a graph that reads all of them at once.

    Parameters
    ----------
    pixels
        float32 (1, 1, H, W) in [0, 1].
    chosen
        Places of these tiles among all chosen ones of the slice.
    rows
        Of each of these tiles, which of the field's patches is its own, counted row by row.
    """

    pixels: NDArray[np.float32]
    chosen: NDArray[np.intp]
    rows: NDArray[np.intp]


def cut_fields(hounsfield: NDArray[np.float32], tiling: Tiling, recipe: PatchRecipe) -> Iterator[Field]:
    """Yield a field for each lung with chosen tiles: between the lungs nobody looks."""
    low, high = recipe.window_hu
    shown = np.pad(window_ct(hounsfield, low=low, high=high), recipe.patch_px, mode="edge")
    down, across = tiling.chosen.T
    on_left = tiling.left[down, across] > tiling.right[down, across]
    for side in (~on_left, on_left):
        if side.any():
            yield _field(shown, tiling.chosen, np.flatnonzero(side), recipe)


def _field(shown: NDArray[np.float32], tiles: NDArray[np.intp], chosen: NDArray[np.intp], recipe: PatchRecipe) -> Field:
    own = tiles[chosen]
    first, last = own.min(axis=0), own.max(axis=0)
    top, left = first * recipe.stride_px - recipe.margin_px + recipe.patch_px
    height, width = (last - first) * recipe.stride_px + recipe.patch_px
    pixels = np.ascontiguousarray(shown[None, None, top : top + height, left : left + width])
    rows = (own - first) @ np.array([last[1] - first[1] + 1, 1])
    return Field(pixels=pixels, chosen=chosen, rows=rows)


def count_pixels(mask: NDArray[np.bool_], stride: int) -> NDArray[np.int32]:
    """Return how many pixels of each tile the mask has; tiles at the edge may reach beyond it."""
    rows, columns = (-size % stride for size in mask.shape)
    whole = np.pad(mask, ((0, rows), (0, columns)))
    blocks = whole.reshape(whole.shape[0] // stride, stride, -1, stride)
    return np.asarray(blocks.sum(axis=1, dtype=np.int32).sum(axis=2), dtype=np.int32)


def _patch_share(lung: NDArray[np.bool_], recipe: PatchRecipe) -> NDArray[np.float32]:
    """Return for each tile the part of its patch that is lung."""
    tiles_down, tiles_across = (-(-size // recipe.stride_px) for size in lung.shape)
    reach = recipe.patch_px
    padded = np.pad(lung, reach).cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
    total = np.pad(padded, ((1, 0), (1, 0)))
    top = np.arange(tiles_down)[:, None] * recipe.stride_px - recipe.margin_px + reach
    side = np.arange(tiles_across)[None, :] * recipe.stride_px - recipe.margin_px + reach
    top, side = np.minimum(top, total.shape[0] - 1 - reach), np.minimum(side, total.shape[1] - 1 - reach)
    inside = total[top + reach, side + reach] - total[top, side + reach] - total[top + reach, side] + total[top, side]
    return np.asarray(inside / reach**2, dtype=np.float32)


def spread(
    classes: NDArray[np.int16], abnormality: NDArray[np.float32], *, tiling: Tiling, reach_tiles: float
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Give tiles of lung without a class (-1) class and abnormality of the nearest classified one, if near enough.

    The rim of the lung has no patch of its own because a patch there would be mostly chest wall.
    """
    distance, nearest = ndimage.distance_transform_edt(classes < 0, return_indices=True)
    known = ((tiling.right + tiling.left) > 0) & (distance <= reach_tiles)
    place = tuple(nearest)
    return (
        np.where(known, classes[place], -1).astype(np.int16),
        np.where(known, abnormality[place], 0).astype(np.float32),
    )

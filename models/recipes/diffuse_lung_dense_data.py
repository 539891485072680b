# SPDX-License-Identifier: Apache-2.0
"""Phantom slices with their lungs, and the consolidation that is painted into them, for the finder of dense lung."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from models.phantoms.computed_tomography import NOT_LUNG, ChestPhantom, Involvement
from models.recipes.diffuse_lung_data import PAINTED, RECIPE, DrawScanner
from models.recipes.diffuse_lung_slices import RealSlice
from service.imaging.normalise import window_ct
from service.imaging.resample import resample_box, resample_mm

PIXEL_MM = 2.4
SIZE = 160
"""Rows and columns of a training slice: 384 mm."""
_DRAWN_MM = 1.2
_LEVELS = 24
_BELOW = 10
"""So many levels below the base of the lungs are drawn too: there, all is abdomen."""
_TURN, _STRETCH, _SHIFT, _BEND = 0.2, 0.2, 0.12, 0.05


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class DenseSet:
    """Slices (N, 1, 160, 160), the patches' window from 0 to 1; beside them their lungs, 0 or 1, and its depth in mm.

    Depth is the distance to the outside of the lung. All float32.
    """

    slices: Tensor
    lungs: Tensor
    depths_mm: Tensor


def draw_dense_set(count: int, *, seed: int, scanner: DrawScanner) -> DenseSet:
    """Draw a slice of each of as many chests: a third has a pattern that leaves air, every seventh is abdomen."""
    return _dense_set(
        [_draw(np.random.default_rng([seed, number]), seed * 100_000 + number, scanner) for number in range(count)]
    )


def real_dense_set(sections: Iterable[RealSlice]) -> DenseSet:
    """Bring public slices onto the grid of the training slices, each as often as its row of the list says."""
    return _dense_set([each for section in sections for each in section.repeats * [_shown(section)]])


def joined(*sets: DenseSet) -> DenseSet:
    """Return the slices of all sets."""
    return DenseSet(
        slices=torch.cat([each.slices for each in sets]),
        lungs=torch.cat([each.lungs for each in sets]),
        depths_mm=torch.cat([each.depths_mm for each in sets]),
    )


def _dense_set(drawn: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]]) -> DenseSet:
    slices, lungs = (np.stack(part)[:, None] for part in zip(*drawn, strict=True))
    depths = np.stack([ndimage.distance_transform_edt(each[0]) * PIXEL_MM for each in lungs])[:, None]
    return DenseSet(
        slices=torch.from_numpy(slices),
        lungs=torch.from_numpy(lungs.astype(np.float32)),
        depths_mm=torch.from_numpy(depths.astype(np.float32)),
    )


def _shown(section: RealSlice) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Centre a slice on the grid; what lies outside of it is air."""
    low, high = RECIPE.window_hu
    half_px = SIZE * PIXEL_MM / section.pixel_mm / 2
    rows, columns = (size / 2 for size in section.hounsfield.shape)
    box = (columns - half_px, rows - half_px, columns + half_px, rows + half_px)
    shown = window_ct(resample_box(section.hounsfield, box, shape=(SIZE, SIZE), fill=low)[0], low=low, high=high)
    return shown, resample_box(section.lungs.astype(np.float32), box, shape=(SIZE, SIZE))[0] >= 0.5


def _draw(rng: np.random.Generator, seed: int, scanner: DrawScanner) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    names = [str(rng.choice(PAINTED[1:]))] if rng.uniform() < 0.35 else []
    chest = ChestPhantom(
        seed=seed,
        involvements=tuple(Involvement(pattern=name, depth_mm=float(rng.uniform(15, 60))) for name in names),
        slices=_LEVELS,
        matrix=round(SIZE * PIXEL_MM / _DRAWN_MM),
        pixel_mm=_DRAWN_MM,
        scanner=scanner(rng),
    )
    below = rng.uniform() < 0.15
    section = chest.slice(int(_LEVELS + rng.integers(_BELOW) if below else rng.integers(_LEVELS)))
    low, high = RECIPE.window_hu
    shown = window_ct(_coarse(section.hounsfield), low=low, high=high)
    return shown, _coarse((section.truth != NOT_LUNG).astype(np.float32)) >= 0.5


def _coarse(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    return resample_mm(pixels, (_DRAWN_MM, _DRAWN_MM), target_mm=PIXEL_MM)[0]


def bend(slices: Tensor, generator: torch.Generator) -> Tensor:
    """Turn, stretch, shift and bend each slice, (N, C, H, W); nothing is mirrored: the heart lies left.

    A phantom's organs are ellipses; bent, they are no longer, so that a network cannot count on that.
    """
    count, _, rows, columns = slices.shape
    angle, across, down = (reach * _even(generator, count) for reach in (_TURN, _STRETCH, _STRETCH))
    across, down = across.exp(), down.exp()
    shift = _SHIFT * _even(generator, count, 2)
    matrix = torch.stack(
        [
            torch.stack([angle.cos() * across, -angle.sin() * down, shift[:, 0]], 1),
            torch.stack([angle.sin() * across, angle.cos() * down, shift[:, 1]], 1),
        ],
        1,
    )
    coarse = torch.randn((count, 2, 6, 6), generator=generator) * _BEND * _even(generator, count, 1, 1, 1)
    bent = functional.interpolate(coarse, size=(rows, columns), mode="bicubic", align_corners=True)
    grid = functional.affine_grid(matrix, list(slices.shape), align_corners=False) + bent.permute(0, 2, 3, 1)
    return functional.grid_sample(slices, grid, padding_mode="zeros", align_corners=False)


def _even(generator: torch.Generator, *shape: int) -> Tensor:
    """Return even random numbers from -1 to 1."""
    return 2 * torch.rand(shape, generator=generator) - 1


def consolidate(slices: Tensor, lungs: Tensor, depths_mm: Tensor, *, generator: torch.Generator) -> Tensor:
    """Paint consolidation into the lungs of three slices of four, (N, 1, H, W), as `lung_texture` draws it.

    It takes one lung or both, all of it or a layer under the pleura of uneven depth, in whole or in patches.
    """
    shape = slices.shape

    def chance(share: float) -> Tensor:
        return torch.rand((shape[0], 1, 1, 1), generator=generator) < share

    columns = torch.arange(shape[3]) < shape[3] // 2
    sides = chance(0.5) | (columns == chance(0.5))
    reach_mm = torch.where(chance(0.35), torch.tensor(1e3), 35 + 25 * _even(generator, shape[0], 1, 1, 1))
    layer = depths_mm < reach_mm * (1 + 0.25 * _clouds(shape, 12, generator))
    patches = chance(0.5) | (_clouds(shape, 12, generator) < 0.8 * _even(generator, shape[0], 1, 1, 1) + 0.3)
    region = chance(0.75) & sides & layer & patches & (lungs > 0.5)
    level = 0.84 + 0.035 * _even(generator, shape[0], 1, 1, 1)  # -34 to 50 HU
    bronchi = (torch.rand(shape, generator=generator) < 0.015) * torch.rand(shape, generator=generator) * 0.6
    painted = level + 0.012 * _clouds(shape, 50, generator) - bronchi
    soft = functional.avg_pool2d(region.float(), 3, stride=1, padding=1) * region
    return slices * (1 - soft) + painted * soft


def _clouds(shape: torch.Size, cells: int, generator: torch.Generator) -> Tensor:
    """Return smooth noise (N, 1, H, W) of about unit variance with so many bumps across."""
    coarse = torch.randn((shape[0], 1, cells, cells), generator=generator)
    return functional.interpolate(coarse, size=shape[2:], mode="bicubic", align_corners=False)

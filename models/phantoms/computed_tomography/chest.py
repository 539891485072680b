# SPDX-License-Identifier: Apache-2.0
"""Procedural HRCT: texture patches with a known class, and a chest whose axial slices carry patterns at known places.

Millimetres in the patient: x to the patient's left, y to the back, z to the head; the origin of x and y is the middle
of the body, and z falls from the apex of the lungs (`lung_length_mm`) to their base (0).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from models.phantoms.computed_tomography.anatomy import Anatomy
from models.phantoms.computed_tomography.grid import Grid
from models.phantoms.computed_tomography.lung_texture import PATTERNS, Field, blend, clouds, texture
from models.phantoms.computed_tomography.scanner import Scanner, usual_scanner

NOT_LUNG = 255
"""Value of a truth map outside the lungs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Involvement:
    """Where a pattern lies in the lungs.

    `levels` are heights from 0 (apex) to 1 (base); `depth_mm` is the thickness of a layer under the pleura (None:
    the whole cross-section); `share` is the part of that region which is involved, in patches.
    """

    pattern: str
    levels: tuple[float, float] = (0.0, 1.0)
    sides: str = "RL"
    depth_mm: float | None = None
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One axial slice: Hounsfield units as scanned, and per pixel the pattern's index in PATTERNS."""

    hounsfield: Field
    truth: NDArray[np.uint8]
    z_mm: float
    pixel_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChestPhantom:
    """A chest as a lazy stack of axial slices, from the apex down; the same seed gives the same chest."""

    seed: int
    involvements: tuple[Involvement, ...] = ()
    slices: int = 24
    matrix: int = 512
    pixel_mm: float = 0.7
    lung_length_mm: float = 240.0
    scanner: Scanner = field(default_factory=Scanner)

    @property
    def spacing_mm(self) -> float:
        """Distance between slices, so that they span the lungs."""
        return self.lung_length_mm / self.slices

    def __iter__(self) -> Iterator[Slice]:
        """Yield the slices from the apex to the base, one at a time."""
        for index in range(self.slices):
            yield self.slice(index)

    def slice(self, index: int) -> Slice:
        """Draw the slice at `index`, 0 being the highest."""
        level = (index + 0.5) / self.slices
        rng = np.random.default_rng([self.seed, index])
        grid = Grid(matrix=self.matrix, pixel_mm=self.pixel_mm)
        anatomy = Anatomy.of(np.random.default_rng(self.seed), grid, level=level)
        canvas, lungs = anatomy.draw(rng)
        truth = np.where(lungs, 0, NOT_LUNG).astype(np.uint8)
        for involvement in self.involvements:
            canvas = self._involve(canvas, truth, involvement, grid=grid, level=level, rng=rng)
        imaged = self.scanner.image(canvas, pixel_mm=self.pixel_mm, rng=rng)
        return Slice(hounsfield=imaged, truth=truth, z_mm=self.lung_length_mm * (1 - level), pixel_mm=self.pixel_mm)

    def _involve(
        self,
        canvas: Field,
        truth: NDArray[np.uint8],
        involvement: Involvement,
        *,
        grid: Grid,
        level: float,
        rng: np.random.Generator,
    ) -> Field:
        region = self._region(truth != NOT_LUNG, involvement, grid=grid, level=level, rng=rng)
        if not region.any():
            return canvas
        truth[region] = PATTERNS.index(involvement.pattern)
        painted = texture(involvement.pattern, canvas.shape, pixel_mm=self.pixel_mm, rng=rng)
        soft = np.asarray(gaussian_filter(region.astype(np.float32), 0.8 / self.pixel_mm), dtype=np.float32)
        return blend(canvas, painted, soft * (truth != NOT_LUNG))

    def _region(
        self,
        lungs: NDArray[np.bool_],
        involvement: Involvement,
        *,
        grid: Grid,
        level: float,
        rng: np.random.Generator,
    ) -> NDArray[np.bool_]:
        top, bottom = involvement.levels
        if not top <= level <= bottom:
            return np.zeros_like(lungs)
        region = lungs & np.isin(np.where(grid.x < 0, "R", "L"), list(involvement.sides))
        if involvement.depth_mm is not None:
            depth = distance_transform_edt(lungs) * self.pixel_mm
            wobble = 1 + 0.25 * clouds(lungs.shape, scale_px=14 / self.pixel_mm, rng=rng)
            region &= depth < involvement.depth_mm * wobble
        if involvement.share < 1:
            patches = clouds(lungs.shape, scale_px=12 / self.pixel_mm, rng=rng)
            region &= patches < np.quantile(patches, involvement.share)
        return np.asarray(region)


def texture_patch(
    pattern: str, *, rng: np.random.Generator, size: int = 48, pixel_mm: float = 0.6, scanner: Scanner | None = None
) -> Field:
    """Draw one patch that shows the pattern all over, scanned; in one of four, chest wall cuts a corner off.

    Returns
    -------
    ndarray
        Hounsfield units, float32, (size, size).
    """
    margin = 6
    canvas = texture(pattern, (size + 2 * margin, size + 2 * margin), pixel_mm=pixel_mm, rng=rng)
    if rng.uniform() < 0.25:
        canvas = _cut_by_wall(canvas, rng)
    imaged = (scanner or usual_scanner(rng)).image(canvas, pixel_mm=pixel_mm, rng=rng)
    return imaged[margin:-margin, margin:-margin]


def _cut_by_wall(canvas: Field, rng: np.random.Generator) -> Field:
    """Cover up to a quarter of the canvas with soft tissue, behind a nearly straight pleura."""
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.indices(canvas.shape).astype(np.float32)
    across = rows * np.sin(angle) + columns * np.cos(angle) + 1.5 * clouds(canvas.shape, scale_px=12, rng=rng)
    wall = across > np.quantile(across, rng.uniform(0.75, 0.98))
    return blend(canvas, rng.uniform(20, 70), wall.astype(np.float32))

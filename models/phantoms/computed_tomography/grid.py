# SPDX-License-Identifier: Apache-2.0
"""The pixel grid of an axial slice, so that anatomy is written in millimetres."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.phantoms.computed_tomography.lung_texture import Field, discs, strokes

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """A square pixel grid in millimetres around the middle of the body."""

    matrix: int
    pixel_mm: float

    @cached_property
    def x(self) -> Field:
        """Millimetres to the patient's left, one row that broadcasts."""
        return ((np.arange(self.matrix) - self.matrix / 2 + 0.5) * self.pixel_mm).astype(np.float32)[None, :]

    @cached_property
    def y(self) -> Field:
        """Millimetres to the patient's back, one column that broadcasts."""
        return np.ascontiguousarray(self.x.T)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return (self.matrix, self.matrix)

    def pixels(self, points_mm: Points) -> Points:
        """Return (x, y) in millimetres as (column, row)."""
        return np.asarray(points_mm) / self.pixel_mm + self.matrix / 2

    def ellipse(
        self, centre: tuple[float, float], axes: tuple[float, float], *, power: float = 2.0, tilt: float = 0.0
    ) -> Field:
        """Return the radius of every pixel in units of the (super)ellipse, turned by `tilt`; below 1 is inside."""
        across, down = self.x - centre[0], self.y - centre[1]
        x = np.abs((across * np.cos(tilt) + down * np.sin(tilt)) / axes[0])
        y = np.abs((down * np.cos(tilt) - across * np.sin(tilt)) / axes[1])
        return np.asarray((x**power + y**power) ** (1 / power), dtype=np.float32)

    def strokes(self, starts: Points, ends: Points, widths_mm: Points) -> Field:
        """Draw strokes given in millimetres."""
        return strokes(
            self.shape,
            starts=self.pixels(starts),
            ends=self.pixels(ends),
            widths_px=np.asarray(widths_mm) / self.pixel_mm,
        )

    def disc(self, centre: tuple[float, float], radius_mm: float) -> Field:
        """Draw one disc given in millimetres."""
        return discs(
            self.shape,
            centres=self.pixels(np.array([centre])),
            radii_px=np.array([radius_mm / self.pixel_mm]),
        )

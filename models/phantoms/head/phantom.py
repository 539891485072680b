# SPDX-License-Identifier: Apache-2.0
"""A head as a stack of scanned axial slices, thin or thick, each with the truth of its findings."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.phantoms.head.anatomy import Head
from models.phantoms.head.findings import HEAD_FINDINGS, HeadFinding, Scene, share_of, with_finding, with_oedema
from models.phantoms.volume import Volume

NOISE_HU = 6.5
"""Standard deviation in the brain of a slice of 1 mm; it falls with the root of the thickness."""
_PARTS_MM = 1.7
_CUPPING_HU = 3.0
_LABELS = {kind: number for number, kind in enumerate(HEAD_FINDINGS, start=1)}


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class HeadSlice:
    """Whole Hounsfield units float32 (matrix, matrix) and, per pixel, 0 or 1 + the finding's place in HEAD_FINDINGS."""

    hounsfield: Volume
    truth: NDArray[np.uint8]
    z_mm: float


@dataclass(frozen=True, kw_only=True)
class HeadPhantom:
    """A head from vertex to skull base; the same values give the same slices.

    `blur_mm` is the sigma of a brain kernel; slices lie `thickness_mm` apart and average over their thickness.
    """

    seed: int
    findings: tuple[HeadFinding, ...] = ()
    thickness_mm: float = 5.0
    matrix: int = 512
    pixel_mm: float = 0.45
    top_mm: float = 85.0
    bottom_mm: float = -50.0
    blur_mm: float = 0.55
    noise_hu: float = field(default=NOISE_HU)

    @cached_property
    def head(self) -> Head:
        """The head without findings."""
        return Head.of(self.seed)

    @property
    def slices(self) -> int:
        """How many slices cover the head."""
        return round((self.top_mm - self.bottom_mm) / self.thickness_mm)

    def __iter__(self) -> Iterator[HeadSlice]:
        """Yield the slices from the vertex down."""
        for index in range(self.slices):
            yield self.slice(index)

    def slice(self, index: int) -> HeadSlice:
        """Draw the slice at `index`, 0 being the highest: the mean of the planes within its thickness, scanned."""
        z = self.top_mm - (index + 0.5) * self.thickness_mm
        count = max(1, round(self.thickness_mm / _PARTS_MM))
        offsets = ((np.arange(count) + 0.5) / count - 0.5) * self.thickness_mm
        planes = [self._plane(float(z + offset)) for offset in offsets]
        canvas = np.stack([plane for plane, _ in planes]).mean(axis=0)
        shares = np.stack([share for _, share in planes]).mean(axis=0)
        truth = np.zeros(canvas.shape, dtype=np.uint8)
        for finding, share in zip(self.findings, shares, strict=True):
            truth[share > 0.5] = _LABELS[finding.kind]
        return HeadSlice(hounsfield=self._scanned(canvas, index), truth=truth, z_mm=float(z))

    def _plane(self, z: float) -> tuple[Volume, Volume]:
        """Return one infinitely thin plane, and the share of each finding (findings, rows, columns)."""
        at = self.head.plane(matrix=self.matrix, pixel_mm=self.pixel_mm, z=z)
        shift = sum(finding.midline_shift_mm for finding in self.findings)
        layers = self.head.layers(at, shift_mm=shift)
        canvas = self.head.draw(layers, at, shift_mm=shift)
        scene = Scene(self.head, layers, at)
        shares = np.zeros((len(self.findings), *canvas.shape), dtype=np.float32)
        for number, finding in enumerate(self.findings):
            shares[number] = share_of(finding, scene) * (layers.depth_mm > 0)
            canvas = with_oedema(canvas, finding, scene)
            canvas = with_finding(canvas, finding, shares[number], scene)
        return canvas, shares

    def _scanned(self, canvas: Volume, index: int) -> Volume:
        """Blur, darken the middle a little (beam hardening), add correlated noise."""
        rng = np.random.default_rng([self.seed, 112, index])
        blurred = ndimage.gaussian_filter(canvas, self.blur_mm / self.pixel_mm, mode="nearest")
        line = (np.arange(self.matrix) + 0.5) / self.matrix - 0.5
        cup = _CUPPING_HU * (4 * (line[:, None] ** 2 + line[None, :] ** 2) - 0.3) * (blurred > -200)
        white = rng.standard_normal(canvas.shape, dtype=np.float32)
        grain = ndimage.gaussian_filter(white, self.blur_mm / self.pixel_mm)
        noisy = blurred + cup + self.noise_hu / np.sqrt(self.thickness_mm) * grain / grain.std()
        return np.asarray(np.clip(np.rint(noisy), -1024, 3071), dtype=np.float32)

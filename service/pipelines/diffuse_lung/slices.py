# SPDX-License-Identifier: Apache-2.0
"""Brings slices one at a time, from the head to the feet, in Hounsfield units and lying as a reader expects."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.dicom.ct import frame_planes
from service.dicom.pixels import read_frames, read_image
from service.domain.image import Affine, SlicePlane, StoredImage
from service.domain.instance import Instance
from service.imaging.grayscale import to_hounsfield
from service.imaging.volume import Stack, measure_stack
from service.pipelines.diffuse_lung.series import Series

_SLACK = 1e-3


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class AxialSlice:
    """One slice as seen from the feet: columns grow to the patient's left, rows to the back.

    `to_stored` maps its (x, y) to the stored image's; `plane` is that of this upright picture.
    """

    instance: Instance
    frame_number: int | None
    hounsfield: NDArray[np.float32]
    spacing_mm: tuple[float, float]
    plane: SlicePlane
    to_stored: Affine

    @property
    def height_mm(self) -> float:
        """Height in the patient: larger is nearer to the head."""
        return self.plane.position_mm[2]


def with_frames(series: Series) -> Series:
    """Measure how the frames of an enhanced image lie; other series come back as they are."""
    if not series.enhanced:
        return series
    planes = frame_planes(series.first.path)
    return replace(series, stack=measure_stack(planes) if planes else None)


def iterate(series: Series, *, step_mm: float) -> Iterator[AxialSlice]:
    """Yield slices at least `step_mm` apart (all of them when they lie wider), decoding one at a time.

    Enhanced frames come in stored order, because the file is read once.
    """
    stack = series.stack
    if stack is None:
        return
    wanted = _spread_out(stack, step_mm)
    if series.enhanced:
        for index, image in enumerate(read_frames(series.first.path)):
            if index in wanted:
                yield upright(image, series.first)
        return
    count = len(stack.order)
    positions = {count - 1 - rank for rank, index in enumerate(stack.order) if index in wanted}
    for position in sorted(positions):
        yield read_slice(series.instances[position])


def read_slice(instance: Instance, frame_number: int | None = None) -> AxialSlice:
    """Decode one slice."""
    return upright(read_image(instance.path, frame_number or 1), instance)


def _spread_out(stack: Stack, step_mm: float) -> frozenset[int]:
    """Return indices (into the planes as measured) of slices from the head down, `step_mm` or more apart."""
    chosen: list[int] = []
    last = float("inf")
    for index, position in zip(reversed(stack.order), reversed(stack.positions_mm), strict=True):
        if last - position >= step_mm - _SLACK:
            chosen.append(index)
            last = position
    return frozenset(chosen)


def upright(image: StoredImage, instance: Instance) -> AxialSlice:
    """Turn a stored slice so that columns grow to the patient's left and rows to the back."""
    plane, spacing = image.plane, image.spacing_mm
    if plane is None or spacing is None:
        raise ValueError("a slice without position or spacing passed gate G0")
    rows, columns = image.pixels.shape
    hounsfield, to_stored = to_hounsfield(image), Affine()
    position, (a, b, c, d, e, f) = np.array(plane.position_mm), plane.orientation
    if a < 0:
        hounsfield, to_stored = hounsfield[:, ::-1], to_stored.then(Affine(a=-1, c=columns))
        position, (a, b, c) = position + np.array([a, b, c]) * spacing[1] * (columns - 1), (-a, -b, -c)
    if e < 0:
        hounsfield, to_stored = hounsfield[::-1], to_stored.then(Affine(e=-1, f=rows))
        position, (d, e, f) = position + np.array([d, e, f]) * spacing[0] * (rows - 1), (-d, -e, -f)
    x, y, z = (float(value) for value in position)
    return AxialSlice(
        instance=instance,
        frame_number=image.frame_number,
        hounsfield=hounsfield,
        spacing_mm=spacing,
        plane=SlicePlane(position_mm=(x, y, z), orientation=(a, b, c, d, e, f)),
        to_stored=to_stored,
    )

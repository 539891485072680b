# SPDX-License-Identifier: Apache-2.0
"""Measures how CT slices lie to one another, from their positions alone, and stacks them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.image import SlicePlane, StoredImage
from service.domain.instance import Instance
from service.imaging.grayscale import to_hounsfield

_SAME_PLACE_MM = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The geometry of parallel slices.

    Parameters
    ----------
    order
        Indices into the given planes by rising position along the normal (towards the head for axial slices).
    positions_mm
        Positions along the normal in that order.
    spacing_mm
        Median distance of neighbours that are not duplicates; None below two places.
    uniformity
        Largest deviation of a distance from the median, as a share of it, gaps included.
    gaps
        Slices missing, estimated from distances above one and a half times the median.
    duplicates
        Slices at a place that another slice holds already.
    tilt_degrees
        Angle between the normal and the nearest patient axis.
    axial
        Whether that axis is head-feet.
    parallel
        Whether all slices share one orientation (within 0.1 degree).
    """

    order: tuple[int, ...]
    positions_mm: tuple[float, ...]
    spacing_mm: float | None
    uniformity: float
    gaps: int
    duplicates: int
    tilt_degrees: float
    axial: bool
    parallel: bool

    @property
    def extent_mm(self) -> float:
        """Distance from the first slice to the last."""
        return self.positions_mm[-1] - self.positions_mm[0]


def slice_planes(instances: Sequence[Instance]) -> tuple[SlicePlane, ...] | None:
    """Return the plane of every instance from its attributes; None when one does not say."""
    planes = [_plane(instance) for instance in instances]
    known = tuple(plane for plane in planes if plane is not None)
    return known if len(known) == len(planes) else None


def measure_stack(planes: Sequence[SlicePlane]) -> Stack:
    """Measure planes; at least one is needed.

    The normal is that of the first plane, turned so that it points to the head (or to the left, or to the back).
    """
    normals = np.array([_normal(plane) for plane in planes])
    normal = normals[0]
    along = np.array([plane.position_mm for plane in planes]) @ normal
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    distances = steps[steps > _SAME_PLACE_MM]
    spacing = float(np.median(distances)) if distances.size else None
    return Stack(
        order=tuple(int(index) for index in order),
        positions_mm=tuple(float(value) for value in along[order]),
        spacing_mm=spacing,
        uniformity=float(np.abs(distances - spacing).max() / spacing) if spacing is not None else 0.0,
        gaps=_missing(distances, spacing),
        duplicates=int(np.count_nonzero(steps <= _SAME_PLACE_MM)),
        tilt_degrees=float(np.degrees(np.arccos(min(1.0, float(np.abs(normal).max()))))),
        axial=bool(np.argmax(np.abs(normal)) == 2),
        parallel=bool((normals @ normal).min() > np.cos(np.radians(0.1))),
    )


def stack_hounsfield(images: Sequence[StoredImage]) -> NDArray[np.float32]:
    """Return float32 (slices, rows, columns) in Hounsfield units, in the order given; all of one shape."""
    first = images[0].pixels.shape
    volume = np.empty((len(images), *first), dtype=np.float32)
    for index, image in enumerate(images):
        volume[index] = to_hounsfield(image)
    return volume


def patient_axes(plane: SlicePlane) -> tuple[str, str]:
    """Return Patient Orientation of a slice from its direction cosines, for example ("L", "P")."""
    return _letter(plane.orientation[:3]), _letter(plane.orientation[3:])


def _plane(instance: Instance) -> SlicePlane | None:
    position = [float(value) for value in instance.values("ImagePositionPatient") if not isinstance(value, str)]
    orientation = [float(value) for value in instance.values("ImageOrientationPatient") if not isinstance(value, str)]
    if len(position) != 3 or len(orientation) != 6:
        return None
    x, y, z = position
    a, b, c, d, e, f = orientation
    return SlicePlane(position_mm=(x, y, z), orientation=(a, b, c, d, e, f))


def _normal(plane: SlicePlane) -> NDArray[np.float64]:
    """Return the unit normal, its largest component positive; (0, 0, 1) for a degenerate orientation."""
    normal = np.cross(plane.orientation[:3], plane.orientation[3:])
    length = float(np.linalg.norm(normal))
    if length == 0:
        return np.array([0.0, 0.0, 1.0])
    return np.asarray(normal / length * np.sign(normal[np.argmax(np.abs(normal))]))


def _missing(distances: NDArray[np.float64], spacing: float | None) -> int:
    if spacing is None:
        return 0
    wide = distances[distances > 1.5 * spacing]
    return int(np.rint(wide / spacing - 1).sum())


def _letter(direction: Sequence[float]) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return ("LR", "PA", "HF")[axis][0 if direction[axis] >= 0 else 1]

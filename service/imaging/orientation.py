# SPDX-License-Identifier: Apache-2.0
"""Turns and mirrors a picture so that its axes point where a reader expects them ((0020,0020), PS3.3 C.7.6.1.1.1)."""

from typing import Any

from numpy.typing import NDArray

from service.domain.image import IDENTITY, Affine

PatientAxes = tuple[str, str]
"""Directions in which columns and rows grow, for example ("L", "F"); only the first letter of each counts."""

CHEST_FRONTAL: PatientAxes = ("L", "F")
_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}


def orient(
    pixels: NDArray[Any], orientation: PatientAxes, *, target: PatientAxes
) -> tuple[NDArray[Any], Affine] | None:
    """Bring a picture from one orientation to another by turns of 90 degrees and mirrors alone.

    Returns
    -------
    tuple or None
        A view of the pixels and the map from its (x, y) back to the given picture's; None when the two orientations
        do not lie in the same plane, so that no turn can help.
    """
    current, wanted = _principal(orientation), _principal(target)
    if current is None or wanted is None or {_axis(c) for c in current} != {_axis(c) for c in wanted}:
        return None
    turned, back = (pixels, IDENTITY)
    if _axis(current[0]) != _axis(wanted[0]):
        turned, back = pixels.T, Affine(0, 1, 0, 1, 0, 0)
        current = (current[1], current[0])
    if current[0] != wanted[0]:
        turned, back = turned[:, ::-1], Affine(a=-1, c=turned.shape[1]).then(back)
    if current[1] != wanted[1]:
        turned, back = turned[::-1, :], Affine(e=-1, f=turned.shape[0]).then(back)
    return turned, back


def mirror(pixels: NDArray[Any]) -> tuple[NDArray[Any], Affine]:
    """Mirror left to right; returns a view and the map back."""
    return pixels[:, ::-1], Affine(a=-1, c=pixels.shape[1])


def upright_mammogram(orientation: PatientAxes, *, laterality: str) -> PatientAxes | None:
    """Return the orientation that shows a mammogram upright, its chest wall on the side where it is stored.

    Oblique and lateral views end with the feet below; cranio-caudal views with the lateral side above (the mammography
    hanging convention). A picture stored on its side gets the chest wall of a right breast on the right. None when the
    letters do not describe a mammogram.
    """
    axes = _principal(orientation)
    if axes is None or laterality not in {"L", "R"}:
        return None
    horizontal = next((axis for axis in axes if axis in "AP"), None)
    vertical = next((axis for axis in axes if axis not in "AP"), None)
    if horizontal is None or vertical is None:
        return None
    if axes[0] != horizontal:
        horizontal = "P" if laterality == "R" else "A"
    return horizontal, "F" if vertical in "HF" else _OPPOSITE[laterality]


def _principal(orientation: PatientAxes) -> PatientAxes | None:
    first, second = (direction[:1].upper() for direction in orientation)
    known = first in _OPPOSITE and second in _OPPOSITE
    return (first, second) if known and _axis(first) != _axis(second) else None


def _axis(direction: str) -> str:
    return min(direction, _OPPOSITE[direction])

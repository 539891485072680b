# SPDX-License-Identifier: Apache-2.0
"""Gates G1 and G2: the picture itself must look like one breast, right way round, on a dark background."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.image import Affine, Radiograph
from service.domain.result import Reason
from service.imaging.masks import area_cm2, breast_mask
from service.imaging.orientation import mirror
from service.imaging.resample import resample_mm

_BLACK, _WHITE = 0.1, 0.9
"""Display grey below and above which a pixel counts as black or white."""
_WHITE_SHARE_MAX = 0.2
"""An inverted mammogram is mostly white; films have a grey background, which alone is no reason to refuse."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class BreastPicture:
    """A breast at the network's pixel spacing, chest wall on the left; `to_radiograph` maps back to the full picture.

    `mirrored` says that the picture was mirrored for the network; results are mirrored back.
    """

    grey: NDArray[np.float32]
    mask: NDArray[np.bool_]
    to_radiograph: Affine
    mirrored: bool


def find_breast(
    radiograph: Radiograph, name: str, *, acceptance: Mapping[str, Any], spacing_mm: float
) -> BreastPicture | Reason:
    """Find the breast on an upright mammogram, or say why the view cannot be used; `name` names it in messages."""
    orientation, pixel_spacing = radiograph.patient_orientation, radiograph.pixel_spacing_mm
    if orientation is None or orientation[0] not in {"A", "P"}:
        what = "(0020,0020) Patient Orientation is absent or does not describe a mammogram"
        return Reason(code="patient_orientation", message=f"{name}: {what}; the side of the chest wall is unknown")
    if pixel_spacing is None:
        return Reason(code="pixel_spacing", message=f"{name}: (0018,1164) Imager Pixel Spacing is absent")
    grey, back = resample_mm(radiograph.pixels, pixel_spacing, target_mm=spacing_mm)
    mirrored = orientation[0] == "P"
    if mirrored:
        grey, unmirror = mirror(grey)
        back = unmirror.then(back)
    mask = breast_mask(np.ascontiguousarray(grey))
    picture = BreastPicture(grey=np.ascontiguousarray(grey), mask=mask, to_radiograph=back, mirrored=mirrored)
    return _refusal(picture, name, acceptance=acceptance, spacing_mm=spacing_mm) or picture


def _refusal(picture: BreastPicture, name: str, *, acceptance: Mapping[str, Any], spacing_mm: float) -> Reason | None:
    """Check the background, the chest wall's side and the area, in this order."""
    black, white = float((picture.grey < _BLACK).mean()), float((picture.grey > _WHITE).mean())
    if white > max(black, _WHITE_SHARE_MAX):
        what = f"{white:.0%} of the picture is white and {black:.0%} black; the air of a mammogram is black"
        return Reason(code="background_not_dark", message=f"{name}: {what}; the picture is shown inverted")
    if _tissue_side(picture.mask) == "right":
        what = "(0020,0020) Patient Orientation puts the chest wall on the other side than the tissue"
        return Reason(code="orientation_disagrees", message=f"{name}: {what}; correct the orientation at the modality")
    area, (low, high) = area_cm2(picture.mask, (spacing_mm, spacing_mm)), acceptance["breast_area_cm2"]
    if not low <= area <= high:
        what = f"the area taken for the breast is {area:.0f} cm2; {low:g} to {high:g} is accepted"
        return Reason(code="breast_area", message=f"{name}: {what}")
    return None


def _tissue_side(mask: NDArray[np.bool_]) -> str:
    """Return the side on which the tissue lies: where its centroid is, and where it meets the border when it is near.

    A breast that fills the width has its centroid near the middle; it then meets the chest-wall border over more rows.
    """
    columns = np.flatnonzero(mask.any(axis=0))
    if columns.size == 0:
        return "none"
    centroid = float((mask.sum(axis=0) * np.arange(mask.shape[1])).sum() / mask.sum()) / mask.shape[1]
    if abs(centroid - 0.5) > 0.1:
        return "left" if centroid < 0.5 else "right"
    strip = max(1, mask.shape[1] // 50)
    left, right = (int(part.any(axis=1).sum()) for part in (mask[:, :strip], mask[:, -strip:]))
    return "left" if left >= right else "right"

# SPDX-License-Identifier: Apache-2.0
"""Writes phantom mammograms as MG files, standard or odd on purpose, with the truth in stored pixel coordinates."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
)

from models.phantoms.dicom import PhantomStudy, coded, new_image, save, set_pixels
from models.phantoms.mammogram.acquisition import Scanner, raw_counts
from models.phantoms.mammogram.breast import (
    SIDES,
    VIEWS,
    Breast,
    Side,
    ViewName,
    random_breast,
    random_distortion,
    random_lesion,
)
from models.phantoms.mammogram.fields import Field
from models.phantoms.mammogram.view import PhantomView, draw_view

FULL = 4095
_VIEW_CODES = {
    "CC": coded("399162004", "SCT", "cranio-caudal"),
    "MLO": coded("399368009", "SCT", "medio-lateral oblique"),
}
SPOT = coded("399055006", "SCT", "Spot Compression")
ORIENTATIONS: Mapping[tuple[Side, ViewName], tuple[str, str]] = {
    ("L", "CC"): ("A", "R"),
    ("L", "MLO"): ("A", "FR"),
    ("R", "CC"): ("P", "L"),
    ("R", "MLO"): ("P", "FL"),
}
"""Patient Orientation of the usual display: chest wall inwards, outer side or head above."""
_POSITIONER_ANGLE = {"CC": 0, "MLO": 45}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAs:
    """How a view is stored.

    `window` is a linear window, "SIGMOID" a sigmoid over a narrower range, both for a signal that fills 12 bits;
    `mirrored` stores the chest wall on the other side, with the Patient Orientation to match; `changes` are keyword
    to value (None deletes), applied last.
    """

    photometric: Literal["MONOCHROME1", "MONOCHROME2"] = "MONOCHROME2"
    voi: Literal["LINEAR", "SIGMOID"] = "LINEAR"
    intent: Literal["FOR PRESENTATION", "FOR PROCESSING"] = "FOR PRESENTATION"
    mirrored: bool = False
    spot: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenView:
    """A written file and its lesions as (column, row, radius) in stored pixels."""

    path: Path
    side: Side
    view: ViewName
    lesions: tuple[tuple[float, float, float], ...]


def write_mg_exam(
    folder: Path,
    *,
    study: PhantomStudy,
    seed: int,
    mass_in: Side | None = None,
    distortion_in: Side | None = None,
    pitch_mm: float = 0.1,
    stored: StoredAs | None = None,
    scanner: Scanner | None = None,
    for_processing: bool = False,
) -> tuple[WrittenView, ...]:
    """Write the four standard views of a woman, with a mass or a distortion in a breast; R before L, CC before MLO.

    With `for_processing` each view gets its For Processing sibling, in files named `*-raw.dcm` that are not returned.
    """
    written = []
    for side in SIDES:
        breast = random_breast(side, seed)
        masses = (random_lesion(breast, seed),) if side == mass_in else ()
        distortions = (random_distortion(breast, seed),) if side == distortion_in else ()
        breast = replace(breast, lesions=(*masses, *distortions))
        for view in VIEWS:
            picture = draw_view(breast, view, pitch_mm=pitch_mm, scanner=scanner)
            path = folder / f"{side.lower()}-{view.lower()}.dcm"
            written.append(write_mg_view(path, picture, breast=breast, view=view, study=study, stored=stored))
            if for_processing:
                raw = StoredAs(intent="FOR PROCESSING")
                raw_path = folder / f"{side.lower()}-{view.lower()}-raw.dcm"
                write_mg_view(raw_path, picture, breast=breast, view=view, study=study, stored=raw)
    return tuple(written)


def write_mg_view(
    path: Path,
    picture: PhantomView,
    *,
    breast: Breast,
    view: ViewName,
    study: PhantomStudy,
    stored: StoredAs | None = None,
) -> WrittenView:
    """Write one view (PS3.3 A.27 Digital Mammography X-Ray Image IOD)."""
    stored = stored or StoredAs()
    mirrored = (breast.side == "R") != stored.mirrored
    pixels = _stored_values(picture, f"{breast.side}{view}", stored=stored, mirrored=mirrored)
    dataset = _new_dataset(study, stored, breast=breast, view=view)
    set_pixels(dataset, pixels, bits_stored=12, photometric=stored.photometric)
    _set_geometry(dataset, breast, view, stored=stored, pitch_mm=picture.pitch_mm)
    _set_mammography(dataset, breast, view, stored=stored)
    _set_grey_scale(dataset, stored)
    save(dataset, path, changes=stored.changes)
    lesions = tuple((pixels.shape[1] - x if mirrored else x, y, radius) for x, y, radius in picture.lesions)
    return WrittenView(path=path, side=breast.side, view=view, lesions=lesions)


def _new_dataset(study: PhantomStudy, stored: StoredAs, *, breast: Breast, view: ViewName) -> Any:
    raw = stored.intent == "FOR PROCESSING"
    number = 1 + 2 * SIDES.index(breast.side) + VIEWS.index(view)
    return new_image(
        study,
        DigitalMammographyXRayImageStorageForProcessing if raw else DigitalMammographyXRayImageStorageForPresentation,
        modality="MG",
        series=f"{breast.side} {view}{' raw' if raw else ''}{' spot' if stored.spot else ''}",
        series_number=number + (10 if raw else 0),
    )


def _stored_values(picture: PhantomView, marker: str, *, stored: StoredAs, mirrored: bool) -> NDArray[np.uint16]:
    if stored.intent == "FOR PROCESSING":
        values = raw_counts(picture.signal, bits_stored=12)
        return values[:, ::-1] if mirrored else values
    grey = picture.grey[:, ::-1] if mirrored else picture.grey
    marked = _with_lead_marker(grey, marker, pitch_mm=picture.pitch_mm, chest_wall_right=mirrored)
    values = np.rint(_unshown(np.clip(marked, 0, 1), stored) * FULL).astype(np.uint16)
    return values if stored.photometric == "MONOCHROME2" else (FULL - values).astype(np.uint16)


def _unshown(grey: Field, stored: StoredAs) -> Field:
    """Undo the window that the file declares, so that every variant is displayed alike."""
    if stored.voi == "LINEAR":
        return grey
    inside = np.clip(grey, 1e-3, 1 - 1e-3)
    return np.where(grey > 0, 0.5 + np.log(inside / (1 - inside)) / 12, 0).clip(0, 1).astype(np.float32)


def _with_lead_marker(grey: Field, text: str, *, pitch_mm: float, chest_wall_right: bool) -> Field:
    """Put the lead letters of a real film into the air, near the upper corner away from the chest wall."""
    height = round(8 / pitch_mm)
    picture = Image.new("L", (height * 4, round(height * 1.4)))
    ImageDraw.Draw(picture).text((0, 0), text, fill=255, font=ImageFont.load_default(height))
    letters = np.asarray(picture, dtype=np.float32) / 255
    marked = grey.copy()
    top, edge = round(18 / pitch_mm), round(4 / pitch_mm)
    left = edge if chest_wall_right else grey.shape[1] - letters.shape[1] - edge
    window = (slice(top, top + letters.shape[0]), slice(left, left + letters.shape[1]))
    marked[window] = np.maximum(marked[window], 0.95 * letters)
    return marked


_OPPOSITE = {"A": "P", "P": "A"}


def _set_geometry(dataset: Dataset, breast: Breast, view: ViewName, *, stored: StoredAs, pitch_mm: float) -> None:
    row, column = ORIENTATIONS[breast.side, view]
    dataset.PatientOrientation = [_OPPOSITE[row] if stored.mirrored else row, column]
    dataset.ImagerPixelSpacing = [pitch_mm, pitch_mm]
    dataset.DetectorType = "DIRECT"
    dataset.DetectorConfiguration = "AREA"
    dataset.EstimatedRadiographicMagnificationFactor = 1.5 if stored.spot else 1.0
    dataset.PositionerType = "MAMMOGRAPHIC"
    dataset.PositionerPrimaryAngle = _POSITIONER_ANGLE[view] * (-1 if breast.side == "R" else 1)
    dataset.BodyPartThickness = round(breast.thickness_mm)


def _set_mammography(dataset: Dataset, breast: Breast, view: ViewName, *, stored: StoredAs) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.PresentationIntentType = stored.intent
    dataset.ImageLaterality = breast.side
    dataset.OrganExposed = "BREAST"
    dataset.BodyPartExamined = "BREAST"
    dataset.AnatomicRegionSequence = Sequence([coded("76752008", "SCT", "Breast")])
    dataset.ViewPosition = view
    code = coded(_VIEW_CODES[view].CodeValue, "SCT", _VIEW_CODES[view].CodeMeaning)
    code.ViewModifierCodeSequence = Sequence([SPOT] if stored.spot else [])
    dataset.ViewCodeSequence = Sequence([code])
    dataset.BreastImplantPresent = "YES" if breast.implant else "NO"
    dataset.PartialView = "NO"
    dataset.AcquisitionContextSequence = Sequence()
    dataset.PatientSex = "F"


def _set_grey_scale(dataset: Dataset, stored: StoredAs) -> None:
    """Say what the values mean and how they are shown (PS3.3 C.8.11.3)."""
    reversed_scale = stored.photometric == "MONOCHROME1"
    raw = stored.intent == "FOR PROCESSING"
    dataset.PixelIntensityRelationship = "LIN" if raw else "LOG"
    dataset.PixelIntensityRelationshipSign = 1 if raw or reversed_scale else -1
    dataset.RescaleIntercept = 0
    dataset.RescaleSlope = 1
    dataset.RescaleType = "US"
    if raw:
        dataset.PresentationLUTShape = "IDENTITY"
        return
    dataset.PresentationLUTShape = "INVERSE" if reversed_scale else "IDENTITY"
    dataset.VOILUTFunction = stored.voi
    dataset.WindowCenter = 2048 if stored.voi == "LINEAR" else FULL / 2
    dataset.WindowWidth = 4096 if stored.voi == "LINEAR" else FULL / 3

# SPDX-License-Identifier: Apache-2.0
"""Awkward mammograms. Most change one view of the exam: what becomes of the others is part of what is expected."""

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
)

from models.phantoms.dicom import coded, phantom_uid
from models.phantoms.mammogram.files import SPOT
from models.phantoms.variants import stored, syntaxes, turned
from models.phantoms.variants.stored import Datasets, Edit, each, full, only_first, put, tags, values_of
from models.phantoms.variants.variant import Expected, Variant

ALIKE, FLAGGED, REFUSED, PARTLY = Expected.ALIKE, Expected.FLAGGED, Expected.REFUSED, Expected.PARTLY
MAGNIFICATION = coded("399163009", "SCT", "Magnification")
IMPLANT_DISPLACED = coded("399209000", "SCT", "Implant Displaced")


def _modified(modifier: Dataset, factor: float = 1.0) -> Edit:
    def edit(image: Dataset) -> None:
        image.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence([stored.deepcopy(modifier)])
        image.EstimatedRadiographicMagnificationFactor = factor

    return edit


def _view(value: str, meaning: str, position: str) -> Edit:
    def edit(image: Dataset) -> None:
        code = coded(value, "SCT", meaning)
        code.ViewModifierCodeSequence = Sequence()
        tags(ViewCodeSequence=Sequence([code]), ViewPosition=position)(image)

    return edit


def _implant_pixels(image: Dataset) -> None:
    """Draw a silicone implant against the chest wall, nearly white."""
    values, spacing = values_of(image), float(image.ImagerPixelSpacing[0])
    row, column = np.indices(values.shape) * spacing
    wall = 0.0 if image.PatientOrientation[0] == "A" else values.shape[1] * spacing
    inside = np.hypot((row - values.shape[0] * spacing / 2) / 42, (column - wall) / 38) < 1
    values[inside] = round(0.93 * full(image))
    put(image, values)


def _with_raw_siblings(images: Datasets) -> Datasets:
    raws = [stored.deepcopy(image) for image in images]
    for raw in raws:
        raw.SOPInstanceUID = raw.file_meta.MediaStorageSOPInstanceUID = phantom_uid(raw.SOPInstanceUID, "raw")
        raw.SeriesInstanceUID = phantom_uid(raw.SeriesInstanceUID, "raw")
    return [*images, *each(_for_processing)(raws)]


def _for_processing(image: Dataset) -> None:
    image.SOPClassUID = DigitalMammographyXRayImageStorageForProcessing
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    tags(PresentationIntentType="FOR PROCESSING", WindowCenter=None, WindowWidth=None, VOILUTFunction=None)(image)


def _digitised(image: Dataset) -> None:
    """Make it a digitised film: Secondary Capture (PS3.3 A.8.1) of a breast, as scanners of films sent them."""
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    image.ConversionType = "DF"
    for keyword in (
        "PresentationIntentType",
        "PixelIntensityRelationship",
        "PixelIntensityRelationshipSign",
        "PresentationLUTShape",
        "VOILUTFunction",
        "WindowCenter",
        "WindowWidth",
        "RescaleIntercept",
        "RescaleSlope",
        "RescaleType",
        "DetectorType",
        "DetectorConfiguration",
        "ImagerPixelSpacing",
        "AcquisitionContextSequence",
    ):
        tags(**{keyword: None})(image)


def _tagged_right(image: Dataset) -> None:
    image.ImageLaterality = "R"


def _chest_wall_untold(image: Dataset) -> None:
    image.PatientOrientation = ["P" if image.PatientOrientation[0] == "A" else "A", image.PatientOrientation[1]]


def _inverted_untold(image: Dataset) -> None:
    put(image, full(image) - values_of(image))


def _cut(image: Dataset) -> None:
    """Leave the lower third of the breast outside the field, and say so."""
    values = values_of(image)
    put(image, values[: values.shape[0] * 2 // 3])
    image.PartialView = "YES"
    image.PartialViewDescription = "lower part not shown"


def _binned(image: Dataset) -> None:
    """Make pixels twice as large, as a detector that bins does."""
    values = values_of(image)
    rows, columns = (size // 2 * 2 for size in values.shape)
    put(image, np.rint(values[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))))
    image.ImagerPixelSpacing = [2 * float(spacing) for spacing in image.ImagerPixelSpacing]


def _only_cc(images: Datasets) -> Datasets:
    return [image for image in images if image.ViewPosition == "CC"]


def _without_first(images: Datasets) -> Datasets:
    return images[1:]


def _with_spot(images: Datasets) -> Datasets:
    """Add a spot compression view of the first breast to a whole exam."""
    spot = stored.deepcopy(images[0])
    spot.SOPInstanceUID = spot.file_meta.MediaStorageSOPInstanceUID = phantom_uid(spot.SOPInstanceUID, "spot")
    spot.SeriesInstanceUID = phantom_uid(spot.SeriesInstanceUID, "spot")
    _modified(SPOT, 1.5)(spot)
    return [*images, spot]


def _row(name: str, change: str, expected: Expected, *reasons: str, **more: object) -> Variant:
    return Variant(kind="mammogram", name=name, change=change, expected=expected, reasons=reasons, **more)  # type: ignore[arg-type]


MAMMOGRAMS: tuple[Variant, ...] = (
    _row("plain", "nothing: standard views, a mass in the left breast", ALIKE),
    _row("monochrome1", "stored reversed, MONOCHROME1 and shape INVERSE", ALIKE, edit=each(stored.monochrome1)),
    _row("sigmoid", "VOI LUT Function SIGMOID", ALIKE, edit=each(stored.sigmoid)),
    _row("linear-exact", "VOI LUT Function LINEAR_EXACT", ALIKE, edit=each(stored.linear_exact)),
    _row("voi-lut", "a VOI LUT Sequence instead of a window", ALIKE, edit=each(stored.voi_lut)),
    _row(
        "voi-lut-and-windows",
        "a VOI LUT Sequence and three misleading sigmoid windows",
        ALIKE,
        edit=each(stored.voi_lut_and_windows),
    ),
    _row("several-windows", "three windows, the first is meant", ALIKE, edit=each(stored.several_windows)),
    _row(
        "monochrome1-sigmoid",
        "sigmoid window and MONOCHROME1 together",
        ALIKE,
        edit=each(stored.sigmoid, stored.monochrome1),
    ),
    _row(
        "mirrored",
        "stored with the chest wall on the other side, Patient Orientation says so",
        ALIKE,
        edit=each(turned.mirrored),
    ),
    _row("half-turn", "stored upside down, Patient Orientation says so", ALIKE, edit=each(turned.half_turn)),
    _row("quarter-turn", "stored on its side, Patient Orientation says so", ALIKE, edit=each(turned.quarter_turn)),
    _row("14-bits", "14 bits stored", ALIKE, edit=each(stored.bits(14))),
    _row("10-bits", "10 bits stored", ALIKE, edit=each(stored.bits(10))),
    _row(
        "black-padding",
        "zeros outside the breast are padding",
        ALIKE,
        edit=each(stored.padding(width_share=0.002, value_share=0.0)),
    ),
    _row("with-raw", "a For Processing sibling of every view", ALIKE, edit=_with_raw_siblings),
    _row(
        "with-spot",
        "a spot compression view beside the standard views",
        PARTLY,
        "view_modifier",
        "magnification",
        edit=_with_spot,
    ),
    _row("male", "a man", FLAGGED, "patient_sex", edit=each(tags(PatientSex="M"))),
    _row(
        "partial-view",
        "part of the breast outside the field, Partial View YES",
        FLAGGED,
        "partial_view",
        edit=each(_cut),
        is_loose=True,
    ),
    _row("lossy", "lossy compression (JPEG 2000)", FLAGGED, "lossy", edit=each(syntaxes.JPEG_2000_LOSSY)),
    _row("jpeg-baseline", "JPEG baseline: 8 bits, lossy", FLAGGED, "lossy", edit=each(syntaxes.jpeg_baseline)),
    _row("only-cc", "the cranio-caudal views alone", ALIKE, edit=_only_cc, is_loose=True),
    _row("view-missing", "one standard view is missing", ALIKE, edit=_without_first, is_loose=True),
    _row("for-processing", "raw data, For Processing", REFUSED, "presentation_intent", edit=each(_for_processing)),
    _row(
        "one-for-processing",
        "one view For Processing alone",
        PARTLY,
        "presentation_intent",
        edit=only_first(_for_processing),
    ),
    _row(
        "implant",
        "an implant; Breast Implant Present YES",
        REFUSED,
        "implant",
        edit=each(_implant_pixels, tags(BreastImplantPresent="YES")),
    ),
    _row(
        "implant-displaced",
        "implant displaced views",
        REFUSED,
        "implant",
        "view_modifier",
        edit=each(_modified(IMPLANT_DISPLACED), tags(BreastImplantPresent="YES")),
    ),
    _row("spot", "spot compression views", REFUSED, "view_modifier", "magnification", edit=each(_modified(SPOT, 1.5))),
    _row(
        "magnified",
        "magnification views",
        REFUSED,
        "view_modifier",
        "magnification",
        edit=each(_modified(MAGNIFICATION, 1.8)),
    ),
    _row(
        "magnified-untold",
        "magnification factor 1.8, no view modifier",
        REFUSED,
        "magnification",
        edit=each(tags(EstimatedRadiographicMagnificationFactor=1.8)),
    ),
    _row(
        "synthetic",
        "synthetic pictures from tomosynthesis",
        REFUSED,
        "image_type",
        edit=each(tags(ImageType=["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"])),
    ),
    _row("lateral-view", "medio-lateral views", REFUSED, "view", edit=each(_view("399260004", "medio-lateral", "ML"))),
    _row(
        "exaggerated-view",
        "exaggerated cranio-caudal views",
        REFUSED,
        "view",
        edit=each(_view("399265004", "cranio-caudal exaggerated laterally", "XCCL")),
    ),
    _row(
        "specimen",
        "a tissue specimen",
        REFUSED,
        "specimen",
        edit=each(_view("127457009", "tissue specimen from breast", "")),
    ),
    _row("digitised-film", "a digitised film", REFUSED, "digitised_film", edit=each(_digitised)),
    _row("coarse", "pixels of 0.2 mm", REFUSED, "pixel_spacing", edit=each(_binned)),
    _row(
        "spacing-missing",
        "no Imager Pixel Spacing",
        REFUSED,
        "pixel_spacing",
        edit=each(tags(ImagerPixelSpacing=None)),
        is_valid=False,
    ),
    _row(
        "laterality-missing",
        "no Image Laterality",
        REFUSED,
        "laterality",
        edit=each(tags(ImageLaterality=None)),
        is_valid=False,
    ),
    _row("both-breasts", "Image Laterality B", REFUSED, "laterality", edit=each(tags(ImageLaterality="B"))),
    _row(
        "inverted-untold",
        "stored reversed, nothing says so",
        REFUSED,
        "background_not_dark",
        edit=each(_inverted_untold),
    ),
    _row(
        "orientation-wrong",
        "Patient Orientation puts the chest wall on the wrong side",
        REFUSED,
        "orientation_disagrees",
        edit=each(_chest_wall_untold),
    ),
    _row(
        "orientation-missing",
        "no Patient Orientation",
        REFUSED,
        "patient_orientation",
        edit=each(tags(PatientOrientation="")),
        is_valid=False,
    ),
    _row(
        "wrong-side",
        "a left oblique view that says it is a right one",
        PARTLY,
        "laterality_disagrees",
        edit=lambda images: [*images[:1], *only_first(_tagged_right)(images[1:])],
    ),
)

# SPDX-License-Identifier: Apache-2.0
"""Awkward chest radiographs."""

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
)

from models.phantoms.chest_radiograph.lateral import lateral_film
from models.phantoms.dicom import JAPANESE, JAPANESE_NAME, coded, phantom_uid
from models.phantoms.mammogram.breast import Breast
from models.phantoms.mammogram.view import draw_view
from models.phantoms.variants import stored, syntaxes, turned
from models.phantoms.variants.stored import Datasets, each, full, put, tags, values_of
from models.phantoms.variants.variant import Expected, Variant

ALIKE, FLAGGED, REFUSED = Expected.ALIKE, Expected.FLAGGED, Expected.REFUSED
_DX_ALONE = (
    "PresentationIntentType",
    "PixelIntensityRelationship",
    "PixelIntensityRelationshipSign",
    "PresentationLUTShape",
    "ViewCodeSequence",
    "AnatomicRegionSequence",
    "AcquisitionContextSequence",
    "DetectorType",
    "PositionerType",
    "ImageLaterality",
)
_VIEW_CODES = {
    "AP": coded("399342001", "SCT", "antero-posterior"),
    "LL": coded("399173006", "SCT", "left lateral"),
}


def as_cr(image: Dataset) -> None:
    """Make it a Computed Radiography image (PS3.3 A.2), which may have what DX may not."""
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    image.Modality = "CR"
    tags(**dict.fromkeys(_DX_ALONE))(image)


def _view(name: str) -> stored.Edit:
    return tags(ViewPosition=name, ViewCodeSequence=Sequence([_VIEW_CODES[name]]))


def _lateral_pixels(image: Dataset) -> None:
    shape = (int(image.Rows), int(image.Columns))
    picture = lateral_film(13, shape=shape, pitch_mm=float(image.ImagerPixelSpacing[0]))
    put(image, np.rint(picture * full(image)))


def _breast_pixels(image: Dataset) -> None:
    """Show a breast under the header of a chest."""
    pitch = float(image.ImagerPixelSpacing[0])
    picture = draw_view(Breast(side="L", seed=5), "MLO", pitch_mm=pitch).grey
    canvas = np.zeros((int(image.Rows), int(image.Columns)))
    rows, columns = (min(pair) for pair in zip(canvas.shape, picture.shape, strict=True))
    canvas[:rows, :columns] = picture[:rows, :columns]
    put(image, np.rint(canvas * full(image)))


def _half_film(image: Dataset) -> None:
    values = values_of(image)
    put(image, values[:, : round(0.56 * values.shape[1])])


def _inverted_untold(image: Dataset) -> None:
    put(image, full(image) - values_of(image))


def _flat(image: Dataset) -> None:
    put(image, values_of(image) // 16 + full(image) // 2)


def _burnt_out(image: Dataset) -> None:
    values = values_of(image)
    put(image, np.clip((values - np.median(values)) * 40, 0, full(image)))


def _coarse(factor: int) -> stored.Edit:
    """Return the edit that bins pixels, so that Imager Pixel Spacing grows by the factor."""

    def edit(image: Dataset) -> None:
        values = values_of(image)
        rows, columns = (size // factor * factor for size in values.shape)
        blocks = values[:rows, :columns].reshape(rows // factor, factor, columns // factor, factor)
        put(image, np.rint(blocks.mean(axis=(1, 3))))
        image.ImagerPixelSpacing = [float(spacing) * factor for spacing in image.ImagerPixelSpacing]

    return edit


def _again(images: Datasets, *edits: stored.Edit) -> Datasets:
    """Add a second image to the study, changed."""
    second = stored.deepcopy(images[0])
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = phantom_uid(second.SOPInstanceUID, "second")
    second.InstanceNumber = 2
    each(*edits)([second])
    return [*images, second]


def _two_films(images: Datasets) -> Datasets:
    return _again(images, tags(ContentTime="085900"))


def _with_lateral(images: Datasets) -> Datasets:
    return _again(images, _view("LL"), tags(PatientOrientation=["P", "F"]), _lateral_pixels)


def _screen_capture(image: Dataset) -> None:
    """Make it a Secondary Capture of the film (PS3.3 A.8.1)."""
    as_cr(image)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    tags(Modality="DX", ConversionType="WSD", ImagerPixelSpacing=None, KVP=None)(image)
    tags(WindowCenter=None, WindowWidth=None, RescaleIntercept=None, RescaleSlope=None, RescaleType=None)(image)


def _row(name: str, change: str, expected: Expected, *reasons: str, **more: object) -> Variant:
    return Variant(kind="radiograph", name=name, change=change, expected=expected, reasons=reasons, **more)  # type: ignore[arg-type]


_PORTABLE = tags(SeriesDescription="PORTABLE CHEST", StudyDescription="Bedside radiograph")

RADIOGRAPHS: tuple[Variant, ...] = (
    _row("plain", "nothing: a PA chest film with dust opacities", ALIKE),
    _row("monochrome1", "stored reversed, MONOCHROME1 and shape INVERSE", ALIKE, edit=each(stored.monochrome1)),
    _row(
        "inverse-shape",
        "a CR image stored reversed; Presentation LUT Shape INVERSE alone says so",
        ALIKE,
        edit=each(as_cr, stored.inverse_shape),
    ),
    _row("cr", "a Computed Radiography image", ALIKE, edit=each(as_cr)),
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
    _row("no-window", "no window at all: the values fill their range", ALIKE, edit=each(stored.no_window)),
    _row("modality-lut", "a CR image with a Modality LUT Sequence", ALIKE, edit=each(as_cr, stored.modality_lut)),
    _row(
        "monochrome1-sigmoid",
        "sigmoid window and MONOCHROME1 together",
        ALIKE,
        edit=each(stored.sigmoid, stored.monochrome1),
    ),
    _row("mirrored", "stored mirrored, Patient Orientation R\\F says so", ALIKE, edit=each(turned.mirrored)),
    _row(
        "quarter-turn",
        "stored turned by 90 degrees, Patient Orientation says so",
        ALIKE,
        edit=each(turned.quarter_turn),
    ),
    _row("half-turn", "stored upside down, Patient Orientation says so", ALIKE, edit=each(turned.half_turn)),
    _row("10-bits", "10 bits stored", ALIKE, edit=each(stored.bits(10))),
    _row("14-bits", "14 bits stored", ALIKE, edit=each(stored.bits(14))),
    _row("16-bits", "16 bits stored", ALIKE, edit=each(stored.bits(16))),
    _row("signed", "a CR image of signed values, Rescale Intercept to match", ALIKE, edit=each(as_cr, stored.signed)),
    _row(
        "high-bit", "12 bits at the top of 16 (not valid since 2004)", ALIKE, edit=each(stored.high_bit), is_valid=False
    ),
    _row("overlay-bits", "an old overlay in the bits above Bits Stored", ALIKE, edit=each(stored.bits_in_use_above)),
    _row(
        "white-padding",
        "a collimated rim of the largest value, Pixel Padding Value says so",
        ALIKE,
        edit=each(stored.padding(width_share=0.04, value_share=1.0)),
    ),
    _row(
        "padding-range",
        "a rim of many values, Pixel Padding Range Limit says so",
        ALIKE,
        edit=each(stored.padding(width_share=0.04, value_share=0.985, limit_share=1.0)),
    ),
    _row(
        "japanese",
        "a Japanese name in ISO 2022 IR 87",
        ALIKE,
        edit=each(tags(SpecificCharacterSet=list(JAPANESE), PatientName=JAPANESE_NAME)),
    ),
    _row("with-lateral", "a lateral film beside the PA film", ALIKE, edit=_with_lateral),
    _row("two-films", "a second PA film, taken a minute earlier", FLAGGED, "several_films", edit=_two_films),
    _row("view-missing", "no view", FLAGGED, "view_unknown", edit=each(as_cr, tags(ViewPosition=""))),
    _row(
        "body-part-missing",
        "no body part",
        FLAGGED,
        "body_part_unknown",
        edit=each(as_cr, tags(BodyPartExamined="")),
    ),
    _row(
        "age-missing",
        "no age and no birth date",
        FLAGGED,
        "age_unknown",
        edit=each(tags(PatientAge=None, PatientBirthDate="")),
    ),
    _row(
        "orientation-missing",
        "a CR image without Patient Orientation",
        FLAGGED,
        "orientation_unknown",
        edit=each(as_cr, tags(PatientOrientation="")),
    ),
    _row("burned-in", "Burned In Annotation YES", FLAGGED, "burned_in", edit=each(tags(BurnedInAnnotation="YES"))),
    _row(
        "lossy",
        "lossy compression 8:1 (JPEG 2000)",
        FLAGGED,
        "lossy",
        edit=each(syntaxes.JPEG_2000_LOSSY),
    ),
    _row(
        "mirrored-untold",
        "stored mirrored, Patient Orientation says nothing of it",
        FLAGGED,
        "heart_side",
        edit=each(turned.untold(turned.mirrored)),
        is_loose=True,
    ),
    _row(
        "lateral",
        "a lateral film",
        REFUSED,
        "view",
        edit=each(_view("LL"), tags(PatientOrientation=["P", "F"]), _lateral_pixels),
    ),
    _row("ap", "View Position AP", REFUSED, "view", edit=each(_view("AP"))),
    _row("portable", "a bedside film, AP", REFUSED, "view", edit=each(_view("AP"), _PORTABLE)),
    _row(
        "portable-view-missing",
        "a bedside film without a view; the description says portable",
        REFUSED,
        "portable",
        edit=each(as_cr, tags(ViewPosition=""), _PORTABLE),
    ),
    _row(
        "lateral-as-pa", "a lateral film with the header of a PA film", REFUSED, "lung_area", edit=each(_lateral_pixels)
    ),
    _row("inverted-untold", "stored reversed, nothing says so", REFUSED, "polarity", edit=each(_inverted_untold)),
    _row(
        "quarter-turn-untold",
        "turned by 90 degrees, nothing says so",
        REFUSED,
        "lung_sides",
        edit=each(turned.untold(turned.quarter_turn)),
    ),
    _row(
        "half-turn-untold",
        "upside down, nothing says so",
        REFUSED,
        "lung_certainty",
        edit=each(turned.untold(turned.half_turn)),
    ),
    _row("half-film", "one lung and a part of the other on the film", REFUSED, "lung_ratio", edit=each(_half_film)),
    _row(
        "breast-as-chest",
        "a mammogram under the header of a PA chest film",
        REFUSED,
        "lung_area",
        edit=each(_breast_pixels),
    ),
    _row("flat", "nearly no contrast", REFUSED, "dynamic_range", edit=each(_flat)),
    _row("burnt-out", "black and white alone", REFUSED, "saturation", edit=each(_burnt_out)),
    _row("coarse", "pixels three times as large", REFUSED, "pixel_spacing", edit=each(_coarse(3))),
    _row(
        "spacing-missing",
        "no pixel spacing",
        REFUSED,
        "pixel_spacing_missing",
        edit=each(as_cr, tags(ImagerPixelSpacing=None)),
    ),
    _row("8-bits", "8 bits stored", REFUSED, "bits_stored", edit=each(stored.bits(8))),
    _row(
        "lossy-20",
        "Lossy Image Compression Ratio 20",
        REFUSED,
        "lossy_ratio",
        edit=each(
            tags(LossyImageCompression="01", LossyImageCompressionRatio=20, LossyImageCompressionMethod="ISO_10918_1")
        ),
    ),
    _row(
        "child", "a child of 9 years", REFUSED, "age", edit=each(tags(PatientAge="009Y", PatientBirthDate="20170401"))
    ),
    _row(
        "bone-suppressed",
        "a bone-suppressed image",
        REFUSED,
        "derivation",
        edit=each(tags(ImageType=["DERIVED", "PRIMARY", ""], DerivationDescription="Bone suppression")),
    ),
    _row(
        "for-processing",
        "raw data, For Processing",
        REFUSED,
        "presentation_intent",
        edit=each(
            tags(
                SOPClassUID=DigitalXRayImageStorageForProcessing,
                PresentationIntentType="FOR PROCESSING",
                WindowCenter=None,
                WindowWidth=None,
            )
        ),
    ),
    _row(
        "knee",
        "Body Part Examined KNEE",
        REFUSED,
        "body_part",
        edit=each(tags(BodyPartExamined="KNEE", AnatomicRegionSequence=Sequence([coded("72696002", "SCT", "Knee")]))),
    ),
    _row("screen-capture", "a Secondary Capture of the film", REFUSED, "sop_class", edit=each(_screen_capture)),
    _row("jpeg-baseline", "JPEG baseline: 8 bits", REFUSED, "bits_stored", edit=each(syntaxes.jpeg_baseline)),
)

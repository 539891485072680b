# SPDX-License-Identifier: Apache-2.0
"""Awkward chest radiographs."""

from pydicom.sequence import Sequence
from pydicom.uid import (
    DigitalXRayImageStorageForProcessing,
)

from models.phantoms.dicom import JAPANESE, JAPANESE_NAME, coded
from models.phantoms.variants import other_parts, stored, syntaxes, turned
from models.phantoms.variants import radiograph_edits as edits
from models.phantoms.variants.stored import each, tags
from models.phantoms.variants.variant import Expected, Variant

ALIKE, FLAGGED, REFUSED = Expected.ALIKE, Expected.FLAGGED, Expected.REFUSED


def _row(name: str, change: str, expected: Expected, *reasons: str, **more: object) -> Variant:
    return Variant(kind="radiograph", name=name, change=change, expected=expected, reasons=reasons, **more)  # type: ignore[arg-type]


_PORTABLE = tags(SeriesDescription="PORTABLE CHEST", StudyDescription="Bedside radiograph")


RADIOGRAPHS: tuple[Variant, ...] = (
    _row("plain", "nothing: a PA chest film with dust opacities", ALIKE),
    _row("monochrome1", "stored reversed, MONOCHROME1 and shape INVERSE", ALIKE, edit=each(stored.monochrome1)),
    _row(
        "inverse-shape",
        "stored reversed; Presentation LUT Shape INVERSE alone says so (not valid, but sent)",
        ALIKE,
        edit=each(stored.inverse_shape),
        is_valid=False,
    ),
    _row("cr", "a Computed Radiography image", ALIKE, edit=each(edits.as_cr)),
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
        "no-window",
        "a CR image without a window: the values fill their range",
        ALIKE,
        edit=each(edits.as_cr, stored.no_window),
    ),
    _row("modality-lut", "a CR image with a Modality LUT Sequence", ALIKE, edit=each(edits.as_cr, stored.modality_lut)),
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
    _row(
        "signed",
        "a CR image of signed values, Rescale Intercept to match",
        ALIKE,
        edit=each(edits.as_cr, stored.signed),
    ),
    _row(
        "high-bit", "12 bits at the top of 16 (not valid since 2004)", ALIKE, edit=each(stored.high_bit), is_valid=False
    ),
    _row("overlay-bits", "an old overlay in the bits above Bits Stored", ALIKE, edit=each(stored.bits_in_use_above)),
    _row(
        "white-padding",
        "a collimated rim of the largest value, Pixel Padding Value says so",
        ALIKE,
        edit=each(stored.padding(width_share=0.015, value_share=1.0)),
        is_loose=True,  # the rim hides some of the film
    ),
    _row(
        "padding-range",
        "a rim of many values, Pixel Padding Range Limit says so",
        ALIKE,
        edit=each(stored.padding(width_share=0.015, value_share=0.985, limit_share=1.0)),
        is_loose=True,  # the rim hides some of the film
    ),
    _row(
        "japanese",
        "a Japanese name in ISO 2022 IR 87",
        ALIKE,
        edit=each(tags(SpecificCharacterSet=list(JAPANESE), PatientName=JAPANESE_NAME)),
    ),
    _row("pa-by-code", "PA by View Code alone", ALIKE, edit=each(tags(ViewPosition=""))),
    _row("with-lateral", "a lateral film beside the PA film", ALIKE, edit=edits.with_lateral),
    _row("two-films", "a second PA film, taken a minute earlier", FLAGGED, "several_films", edit=edits.two_films),
    _row("view-missing", "no view", FLAGGED, "view_unknown", edit=each(edits.as_cr, tags(ViewPosition=""))),
    _row(
        "body-part-missing",
        "no body part",
        FLAGGED,
        "body_part_unknown",
        edit=each(edits.as_cr, tags(BodyPartExamined="", Laterality="")),
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
        edit=each(edits.as_cr, tags(PatientOrientation="")),
    ),
    _row("burned-in", "Burned In Annotation YES", FLAGGED, "burned_in", edit=each(tags(BurnedInAnnotation="YES"))),
    _row(
        "lossy",
        "lossy compression 8:1 (JPEG 2000)",
        FLAGGED,
        "lossy",
        edit=each(syntaxes.JPEG_2000_LOSSY),
        is_loose=True,
    ),
    _row(
        "mirrored-untold",
        "stored mirrored, Patient Orientation says nothing of it",
        FLAGGED,
        "mirrored",
        edit=each(turned.untold(turned.mirrored)),
        is_loose=True,
    ),
    _row(
        "lateral",
        "a lateral film",
        REFUSED,
        "view",
        edit=each(edits.view("LL"), tags(PatientOrientation=["P", "F"]), edits.lateral_pixels),
    ),
    _row("ap-by-code", "AP by View Code alone", REFUSED, "view", edit=each(edits.view("AP"), tags(ViewPosition=""))),
    _row("ap", "View Position AP", REFUSED, "view", edit=each(edits.view("AP"))),
    _row("portable", "a bedside film, AP", REFUSED, "view", edit=each(edits.view("AP"), _PORTABLE)),
    _row(
        "portable-view-missing",
        "a bedside film without a view; the description says portable",
        REFUSED,
        "portable",
        edit=each(edits.as_cr, tags(ViewPosition=""), _PORTABLE),
    ),
    _row(
        "lateral-as-pa",
        "a lateral film with the header of a PA film",
        REFUSED,
        "no_frontal_chest",
        edit=each(edits.lateral_pixels),
    ),
    _row("inverted-untold", "stored reversed, nothing says so", REFUSED, "polarity", edit=each(edits.inverted_untold)),
    _row(
        "abdomen-as-chest",
        "an abdomen under the header of a PA chest film",
        REFUSED,
        "no_frontal_chest",
        edit=each(edits.other_part(other_parts.abdomen)),
    ),
    _row(
        "hand-as-chest",
        "two hands under the header of a PA chest film",
        REFUSED,
        "no_frontal_chest",
        edit=each(edits.other_part(other_parts.hand)),
    ),
    _row(
        "teeth-as-chest",
        "a panoramic film of the jaws under the header of a PA chest film",
        REFUSED,
        "no_frontal_chest",
        edit=each(edits.other_part(other_parts.teeth)),
    ),
    _row(
        "bases-cut-off",
        "the lowest part of both lungs is not on the film",
        FLAGGED,
        "lung_cut_off",
        edit=each(edits.cut_at(bottom=0.38)),
        is_loose=True,
    ),
    _row(
        "quarter-turn-untold",
        "turned by 90 degrees, nothing says so",
        REFUSED,
        "on_its_side",
        edit=each(turned.untold(turned.quarter_turn)),
    ),
    _row(
        "half-turn-untold",
        "upside down, nothing says so",
        REFUSED,
        "upside_down",
        edit=each(turned.untold(turned.half_turn)),
    ),
    _row(
        "half-film", "one lung and a part of the other on the film", REFUSED, "lung_ratio", edit=each(edits.half_film)
    ),
    _row(
        "breast-as-chest",
        "a mammogram under the header of a PA chest film",
        REFUSED,
        "no_frontal_chest",
        edit=each(edits.breast_pixels),
    ),
    _row("flat", "nearly no contrast", REFUSED, "dynamic_range", edit=each(edits.flat)),
    _row("burnt-out", "black and white alone", REFUSED, "saturation", edit=each(edits.burnt_out)),
    _row("coarse", "pixels three times as large", REFUSED, "pixel_spacing", edit=each(edits.coarse(3))),
    _row(
        "spacing-missing",
        "no pixel spacing",
        REFUSED,
        "pixel_spacing_missing",
        edit=each(edits.as_cr, tags(ImagerPixelSpacing=None)),
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
    _row("screen-capture", "a Secondary Capture of the film", REFUSED, "sop_class", edit=each(edits.screen_capture)),
    _row("jpeg-baseline", "JPEG baseline: 8 bits", REFUSED, "bits_stored", edit=each(syntaxes.jpeg_baseline)),
)

# SPDX-License-Identifier: Apache-2.0
"""Awkward mammograms. Most change one view of the exam: what becomes of the others is part of what is expected."""

from models.phantoms.mammogram.files import SPOT
from models.phantoms.variants import mammogram_edits as edits
from models.phantoms.variants import stored, syntaxes, turned
from models.phantoms.variants.stored import each, only_first, tags
from models.phantoms.variants.variant import Expected, Variant

ALIKE, FLAGGED, REFUSED, PARTLY = Expected.ALIKE, Expected.FLAGGED, Expected.REFUSED, Expected.PARTLY


_NOT_READ = "Standard views not read"


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
    _row(
        "inverse-shape",
        "stored reversed, Presentation LUT Shape INVERSE alone",
        ALIKE,
        edit=each(stored.inverse_shape),
        is_valid=False,  # MONOCHROME2 goes with IDENTITY (PS3.3 C.8.11.3)
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
    _row("black-padding", "the zeros of the air are padding", ALIKE, edit=each(edits.air_is_padding)),
    _row("with-raw", "a For Processing sibling of every view", ALIKE, edit=edits.with_raw_siblings),
    _row(
        "with-spot",
        "a spot compression view beside the standard views",
        PARTLY,
        "view_modifier",
        "magnification",
        edit=edits.with_spot,
    ),
    _row("male", "a man", FLAGGED, "patient_sex", edit=each(tags(PatientSex="M"))),
    _row(
        "partial-view",
        "part of the breast outside the field, Partial View YES",
        FLAGGED,
        "partial_view",
        edit=each(edits.cut),
        is_loose=True,
    ),
    _row("lossy", "lossy compression (JPEG 2000)", FLAGGED, "lossy", edit=each(syntaxes.JPEG_2000_LOSSY)),
    _row("jpeg-baseline", "JPEG baseline: 8 bits, lossy", FLAGGED, "lossy", edit=each(syntaxes.jpeg_baseline)),
    _row("only-cc", "the cranio-caudal views alone", ALIKE, edit=edits.only_cc, is_loose=True, says=_NOT_READ),
    _row(
        "view-missing", "one standard view is missing", ALIKE, edit=edits.without_first, is_loose=True, says=_NOT_READ
    ),
    _row("one-side", "both views of the left breast alone", ALIKE, edit=edits.one_side, is_loose=True, says=_NOT_READ),
    _row(
        "repeated",
        "one view taken twice",
        FLAGGED,
        "repeated_view",
        edit=edits.repeated,
        is_loose=True,
    ),
    _row(
        "wrong-side-cc",
        "a left cranio-caudal view that says it is a right one, whose letters fit either breast",
        FLAGGED,
        "laterality_doubtful",
        edit=edits.wrong_side_cc,
        is_loose=True,
        says=_NOT_READ,
    ),
    _row(
        "with-tomosynthesis",
        "a tomosynthesis object beside the standard views",
        FLAGGED,
        "tomosynthesis",
        edit=edits.with_tomosynthesis,
        is_valid=False,  # as below
    ),
    _row(
        "tomosynthesis",
        "tomosynthesis objects alone",
        REFUSED,
        "tomosynthesis",
        edit=each(edits.tomosynthesis),
        is_valid=False,  # no functional groups: nothing of them is looked at
    ),
    _row("for-processing", "raw data, For Processing", REFUSED, "presentation_intent", edit=each(edits.for_processing)),
    _row(
        "one-for-processing",
        "one view For Processing alone",
        PARTLY,
        "presentation_intent",
        edit=only_first(edits.for_processing),
    ),
    _row(
        "implant",
        "an implant; Breast Implant Present YES",
        REFUSED,
        "implant",
        edit=each(edits.implant_pixels, tags(BreastImplantPresent="YES")),
    ),
    _row(
        "implant-displaced",
        "implant displaced views",
        REFUSED,
        "implant",
        "view_modifier",
        edit=each(edits.modified(edits.IMPLANT_DISPLACED), tags(BreastImplantPresent="YES")),
    ),
    _row(
        "spot",
        "spot compression views",
        REFUSED,
        "view_modifier",
        "magnification",
        edit=each(edits.modified(SPOT, 1.5)),
    ),
    _row(
        "magnified",
        "magnification views",
        REFUSED,
        "view_modifier",
        "magnification",
        edit=each(edits.modified(edits.MAGNIFICATION, 1.8)),
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
        is_valid=False,  # it is (PS3.3 C.8.11.7.1.4), but dciodvfy does not know this Image Type
    ),
    _row(
        "lateral-view",
        "medio-lateral views",
        REFUSED,
        "view",
        edit=each(edits.view("399260004", "medial-lateral", "ML")),
    ),
    _row(
        "exaggerated-view",
        "exaggerated cranio-caudal views",
        REFUSED,
        "view",
        edit=each(edits.view("399192008", "cranio-caudal exaggerated laterally", "XCCL")),
    ),
    _row(
        "specimen",
        "a tissue specimen",
        REFUSED,
        "specimen",
        edit=each(edits.view("127457009", "tissue specimen from breast", "")),
    ),
    _row(
        "specimen-named",
        "a tissue specimen, by its identifier alone",
        REFUSED,
        "specimen",
        edit=each(edits.specimen),
        is_valid=False,  # the Specimen Module is not one of the mammogram's (PS3.3 A.27)
    ),
    _row(
        "scanned-film",
        "a digitised film that says it is a digital mammogram; Detector Type FILM",
        REFUSED,
        "digitised_film",
        edit=each(tags(DetectorType="FILM")),
    ),
    _row("digitised-film", "a digitised film", REFUSED, "digitised_film", edit=each(edits.digitised)),
    _row("coarse", "pixels of 0.2 mm", REFUSED, "pixel_spacing", edit=each(edits.binned)),
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
        edit=each(edits.inverted_untold),
    ),
    _row(
        "orientation-wrong",
        "Patient Orientation puts the chest wall on the wrong side",
        REFUSED,
        "orientation_disagrees",
        edit=each(edits.chest_wall_untold),
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
        edit=lambda images: [*images[:1], *only_first(edits.tagged_right)(images[1:])],
    ),
)

# SPDX-License-Identifier: Apache-2.0
"""Awkward chest CT series."""

from models.phantoms.variants import chest_ct_edits as edits
from models.phantoms.variants import stored, syntaxes, turned
from models.phantoms.variants.enhanced_ct import as_enhanced
from models.phantoms.variants.stored import each, tags
from models.phantoms.variants.variant import Expected, Variant

ALIKE, FLAGGED, REFUSED = Expected.ALIKE, Expected.FLAGGED, Expected.REFUSED


def _row(name: str, change: str, expected: Expected, *reasons: str, **more: object) -> Variant:
    return Variant(kind="hrct", name=name, change=change, expected=expected, reasons=reasons, **more)  # type: ignore[arg-type]


CHEST_CTS: tuple[Variant, ...] = (
    _row("plain", "nothing: thin slices of a chest with honeycombing at the bases", ALIKE),
    _row(
        "reversed",
        "the slices in reversed order of files and instance numbers",
        ALIKE,
        edit=lambda images: [edits.numbered(image, number) for number, image in enumerate(reversed(images), start=1)],
    ),
    _row(
        "feet-first",
        "stored as seen from the head, feet first",
        ALIKE,
        edit=each(turned.axial_mirrored, tags(PatientPosition="FFS")),
    ),
    _row(
        "negative-spacing",
        "Spacing Between Slices negative (not valid, but sent)",
        ALIKE,
        edit=each(tags(SpacingBetweenSlices=-3.0)),
        is_valid=False,
    ),
    _row("signed", "signed Hounsfield units, no intercept", ALIKE, edit=each(edits.signed)),
    _row("half-units", "half Hounsfield units: slope 0.5", ALIKE, edit=each(edits.half_units)),
    _row(
        "outside-circle",
        "-2000 outside the circle of reconstruction, as padding",
        ALIKE,
        edit=each(edits.outside_circle),
    ),
    _row("monochrome1", "MONOCHROME1: Hounsfield units do not care", ALIKE, edit=each(edits.monochrome1)),
    _row("rescale-type-missing", "no Rescale Type", ALIKE, edit=each(tags(RescaleType=None))),
    _row("enhanced", "one Enhanced CT image, its frames in mixed order", ALIKE, edit=as_enhanced),
    _row("with-localizer", "a scout view in a series of its own", ALIKE, edit=edits.with_localizer),
    _row("with-thick-series", "a second series of 5 mm slices", ALIKE, edit=edits.with_thick_series),
    _row(
        "prone",
        "prone, stored turned",
        FLAGGED,
        "prone_position",
        edit=each(turned.axial_half_turn, tags(PatientPosition="HFP")),
    ),
    _row("contrast", "with contrast agent", FLAGGED, "contrast_agent", edit=each(tags(ContrastBolusAgent="IOHEXOL"))),
    _row("missing-slice", "a slice is missing", FLAGGED, "slices_missing", edit=edits.without(8), is_loose=True),
    _row("uneven", "distances between slices vary", FLAGGED, "spacing_uneven", edit=edits.uneven, is_loose=True),
    _row("gap-hrct", "slices of 1 mm at 10 mm", FLAGGED, "slices_with_gaps", edit=edits.far_apart, is_loose=True),
    _row("rather-thick", "slices of 2.5 mm", FLAGGED, "slice_thicker_than_best", edit=each(tags(SliceThickness=2.5))),
    _row(
        "kernel",
        "a kernel that the package does not know",
        FLAGGED,
        "kernel_not_listed",
        edit=each(tags(ConvolutionKernel="B30f")),
    ),
    _row(
        "abdomen",
        "Body Part Examined ABDOMEN",
        FLAGGED,
        "body_part_not_chest",
        edit=each(tags(BodyPartExamined="ABDOMEN")),
    ),
    _row(
        "lossy",
        "lossy compression 8:1 (JPEG 2000)",
        FLAGGED,
        "lossy_compression",
        edit=each(syntaxes.JPEG_2000_LOSSY),
        is_loose=True,
    ),
    _row(
        "truncated-below",
        "the lowest quarter of the lungs is missing",
        FLAGGED,
        "lungs_cut_off",
        edit=lambda images: images[: len(images) * 3 // 4],
        is_loose=True,
    ),
    _row(
        "narrow-field",
        "a field of view of 190 mm that cuts through both lungs",
        REFUSED,
        "lungs_cut_laterally",
        edit=each(edits.field_of(190)),
    ),
    _row(
        "rather-narrow-field",
        "a field of view of 240 mm that cuts the sides of the lungs off where they are widest",
        REFUSED,
        "lungs_cut_laterally",
        edit=each(edits.field_of(240)),
    ),
    _row(
        "tilt",
        "the gantry tilted by 15 degrees",
        REFUSED,
        "gantry_tilted",
        "not_axial",
        edit=edits.tilted(15.0, tells=True),
    ),
    _row(
        "tilt-untold",
        "tilted by 15 degrees, the tilt says 0",
        REFUSED,
        "not_axial",
        edit=edits.tilted(15.0, tells=False),
    ),
    _row(
        "tilt-by-tag",
        "axial directions, the tilt says 15 degrees",
        REFUSED,
        "gantry_tilted",
        edit=each(tags(GantryDetectorTilt=15.0)),
    ),
    _row("duplicates", "two phases in one series", REFUSED, "duplicate_positions", edit=edits.two_phases),
    _row("localizer", "a scout view alone", REFUSED, "no_original_axial_image", edit=edits.localizer_alone),
    _row(
        "mpr",
        "coronal reformats",
        REFUSED,
        "no_original_axial_image",
        edit=edits.coronal(words=["DERIVED", "SECONDARY", "MPR"]),
    ),
    _row(
        "mpr-as-axial",
        "coronal reformats that say ORIGINAL, AXIAL",
        REFUSED,
        "not_axial",
        edit=edits.coronal(words=["ORIGINAL", "PRIMARY", "AXIAL"]),
    ),
    _row(
        "secondary",
        "Image Type DERIVED, SECONDARY",
        REFUSED,
        "no_original_axial_image",
        edit=each(tags(ImageType=["DERIVED", "SECONDARY", "AXIAL"])),
    ),
    _row(
        "mip",
        "maximum intensity projections",
        REFUSED,
        "no_original_axial_image",
        edit=each(tags(ImageType=["DERIVED", "PRIMARY", "AXIAL", "MIP"])),
    ),
    _row("thick", "slices of 5 mm", REFUSED, "slice_too_thick", edit=edits.thick),
    _row(
        "thickness-missing",
        "no Slice Thickness",
        REFUSED,
        "slice_thickness_unknown",
        edit=each(tags(SliceThickness="")),
    ),
    _row(
        "wide-field",
        "pixels of 1.4 mm",
        REFUSED,
        "pixel_spacing_outside_range",
        edit=each(tags(PixelSpacing=[1.4, 1.4])),
    ),
    _row("few-slices", "five slices", REFUSED, "too_few_slices", edit=lambda images: images[:5]),
    _row("mixed-pixels", "two pixel sizes in one series", REFUSED, "mixed_geometry", edit=edits.mixed),
    _row(
        "mixed-directions", "slices that are not parallel", REFUSED, "slices_not_parallel", edit=edits.mixed_directions
    ),
    _row(
        "no-position",
        "a slice without Image Position",
        REFUSED,
        "position_unknown",
        edit=stored.only_first(tags(ImagePositionPatient=None)),
        is_valid=False,
    ),
    _row(
        "rescale-type",
        "Rescale Type US",
        REFUSED,
        "rescale_type_not_hu",
        edit=each(tags(RescaleType="US")),
        is_valid=False,
    ),
    _row("head-as-chest", "a head under the headers of a chest", REFUSED, "no_lungs", edit=edits.head_pixels),
    _row("one-lung", "the left lung is filled with fluid", REFUSED, "one_lung", edit=each(edits.one_lung)),
)

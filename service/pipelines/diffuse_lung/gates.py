# SPDX-License-Identifier: Apache-2.0
"""Gate G0: what the headers of a series must say, one function for each rule, one reason for each failure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from service.domain.result import Reason
from service.pipelines.diffuse_lung.acceptance import Acceptance
from service.pipelines.diffuse_lung.series import Series, evenness, in_slice_mode

_SHARED: Final = "SharedFunctionalGroupsSequence"
_HOUNSFIELD: Final = ("", "HU")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gates said of a series: refused when there is any refusal."""

    series: Series
    refusals: tuple[Reason, ...]
    flags: tuple[Reason, ...]


def reason(code: str, message: str) -> Reason:
    """Make a reason; `code` is one of this pipeline's closed set."""
    return Reason(code=code, message=message)


Gate = Callable[[Series, Acceptance], Iterator[Reason]]


def judge(series: Series, acceptance: Acceptance) -> Verdict:
    """Apply every gate, so that all reasons are known at once."""
    refusals = [reason for gate in _REFUSING for reason in gate(series, acceptance)]
    flags = [reason for gate in _FLAGGING for reason in gate(series, acceptance)]
    return Verdict(series=series, refusals=tuple(refusals), flags=tuple(flags))


def _text(series: Series, keyword: str, group: str) -> str:
    return series.first.text(keyword) or series.first.text(f"{_SHARED}.{group}.{keyword}")


def _rescale_type(series: Series, _: Acceptance) -> Iterator[Reason]:
    value = _text(series, "RescaleType", "PixelValueTransformationSequence")
    if value not in _HOUNSFIELD:
        yield reason(
            "rescale_type_not_hu",
            f"{series.name}: (0028,1054) 'Rescale Type' is {value!r}; pixel values in HU (or no type) are analysed",
        )


def _thickness(series: Series, acceptance: Acceptance) -> Iterator[Reason]:
    values = series.pair("SliceThickness")
    if not values:
        yield reason(
            "slice_thickness_unknown",
            f"{series.name}: (0018,0050) 'Slice Thickness' is absent; at most {acceptance.largest_thickness_mm:g} mm "
            "is analysed; send the series as the scanner made it",
        )
    elif values[0] > acceptance.largest_thickness_mm:
        yield reason(
            "slice_too_thick",
            f"{series.name}: (0018,0050) 'Slice Thickness' is {values[0]:g} mm; at most "
            f"{acceptance.largest_thickness_mm:g} mm is analysed; send the thin-section reconstruction",
        )


def _pixel_size(series: Series, acceptance: Acceptance) -> Iterator[Reason]:
    low, high = acceptance.smallest_pixel_mm, acceptance.largest_pixel_mm
    values = series.pair("PixelSpacing")[:2]
    if len(values) != 2:
        yield reason("pixel_spacing_unknown", f"{series.name}: (0028,0030) 'Pixel Spacing' is absent; it is required")
    elif not all(low <= value <= high for value in values):
        yield reason(
            "pixel_spacing_outside_range",
            f"{series.name}: (0028,0030) 'Pixel Spacing' is {values[0]:g} x {values[1]:g} mm; {low:g} to {high:g} mm "
            "is analysed; send a reconstruction with the field of view of the lungs",
        )


def _gantry_tilt(series: Series, acceptance: Acceptance) -> Iterator[Reason]:
    tilt = series.first.number("GantryDetectorTilt") or 0.0
    if abs(tilt) > acceptance.largest_gantry_tilt_degrees:
        yield reason(
            "gantry_tilted",
            f"{series.name}: (0018,1120) 'Gantry/Detector Tilt' is {tilt:g} degrees; at most "
            f"{acceptance.largest_gantry_tilt_degrees:g} is analysed",
        )


def _count(series: Series, acceptance: Acceptance) -> Iterator[Reason]:
    if series.slices < acceptance.minimum_slices:
        yield reason(
            "too_few_slices",
            f"{series.name}: it has {series.slices} axial slices; at least {acceptance.minimum_slices} are needed "
            "to speak of a share of the lungs",
        )


def _geometry(series: Series, acceptance: Acceptance) -> Iterator[Reason]:
    if series.enhanced:
        return
    if series.stack is None:
        yield reason(
            "position_unknown",
            f"{series.name}: (0020,0032) 'Image Position (Patient)' or (0020,0037) 'Image Orientation (Patient)' "
            "is absent or not numeric in at least one slice; both are required",
        )
    else:
        yield from stack_reasons(series, acceptance)


def stack_reasons(series: Series, acceptance: Acceptance) -> Iterator[Reason]:
    """Judge how slices lie; for enhanced images this is done when their frames have been read."""
    stack = series.stack
    if stack is None:
        return
    if not stack.axial or stack.tilt_degrees > acceptance.largest_tilt_degrees:
        yield reason(
            "not_axial",
            f"{series.name}: (0020,0037) 'Image Orientation (Patient)' is {stack.tilt_degrees:.1f} degrees "
            f"{'off the axial plane' if stack.axial else 'off a sagittal or coronal plane'}; axial slices within "
            f"{acceptance.largest_tilt_degrees:g} degrees are analysed",
        )
    if not stack.parallel:
        yield reason("slices_not_parallel", f"{series.name}: slices have different orientations; one is required")
    if stack.duplicates:
        yield reason(
            "duplicate_positions",
            f"{series.name}: {stack.duplicates} slices lie where another one lies already; a series with one slice "
            "for each place is analysed; send one phase or one reconstruction per series",
        )


def _matrix(series: Series, _: Acceptance) -> Iterator[Reason]:
    for keyword, name in (("Rows", "(0028,0010) 'Rows'"), ("PixelSpacing", "(0028,0030) 'Pixel Spacing'")):
        kinds = len({instance.values(keyword) for instance in series.instances})
        if kinds > 1:
            yield reason("mixed_geometry", f"{series.name}: slices have {kinds} different {name}; one is required")


def _thick_flag(series: Series, acceptance: Acceptance) -> Iterator[Reason]:
    values = series.pair("SliceThickness")
    if values and acceptance.best_thickness_mm < values[0] <= acceptance.largest_thickness_mm:
        yield reason(
            "slice_thicker_than_best",
            f"{series.name}: (0018,0050) 'Slice Thickness' is {values[0]:g} mm; patterns are surest up to "
            f"{acceptance.best_thickness_mm:g} mm",
        )


def spacing_flags(series: Series, acceptance: Acceptance) -> Iterator[Reason]:
    """Flag missing, uneven or widely spaced slices: shares then speak of the sampled slices alone."""
    stack, thickness = series.stack, series.pair("SliceThickness")
    if stack is None or stack.spacing_mm is None:
        return
    if stack.gaps:
        yield reason("slices_missing", f"{series.name}: about {stack.gaps} slices are missing; the rest is analysed")
    elif stack.uniformity > evenness(stack, acceptance.uniformity):
        yield reason(
            "spacing_uneven",
            f"{series.name}: distances between slices vary by {100 * stack.uniformity:.0f} % of {stack.spacing_mm:g} "
            "mm; shares speak of the sampled slices",
        )
    if in_slice_mode(series):
        yield reason(
            "slices_with_gaps",
            f"{series.name}: slices of {thickness[0]:g} mm lie {stack.spacing_mm:g} mm apart; shares speak of the "
            "sampled slices (slice mode)",
        )


def _kernel(series: Series, acceptance: Acceptance) -> Iterator[Reason]:
    value = _text(series, "ConvolutionKernel", "CTReconstructionSequence")
    if value not in acceptance.kernels:
        yield reason(
            "kernel_not_listed",
            f"{series.name}: (0018,1210) 'Convolution Kernel' is {value or 'absent'}; the package was made for "
            f"{', '.join(acceptance.kernels) or 'no named kernel'}",
        )


def _contrast(series: Series, _: Acceptance) -> Iterator[Reason]:
    if series.first.text("ContrastBolusAgent"):
        yield reason(
            "contrast_agent",
            f"{series.name}: (0018,0010) 'Contrast/Bolus Agent' is present; enhanced lung looks like ground glass",
        )


def _position(series: Series, _: Acceptance) -> Iterator[Reason]:
    value = series.first.text("PatientPosition")
    if value.endswith("P"):
        yield reason(
            "prone_position",
            f"{series.name}: (0018,5100) 'Patient Position' is {value}; dependent opacity lies in front",
        )


def _body_part(series: Series, _: Acceptance) -> Iterator[Reason]:
    value = series.first.text("BodyPartExamined")
    if value and not any(part in value for part in ("CHEST", "THORAX", "LUNG")):
        yield reason(
            "body_part_not_chest",
            f"{series.name}: (0018,0015) 'Body Part Examined' is {value}; the pixels decide whether there are lungs",
        )


def _lossy(series: Series, _: Acceptance) -> Iterator[Reason]:
    if any(instance.text("LossyImageCompression") == "01" for instance in series.instances):
        yield reason(
            "lossy_compression",
            f"{series.name}: (0028,2110) 'Lossy Image Compression' is 01; fine texture may be altered",
        )


_REFUSING: Final[tuple[Gate, ...]] = (_rescale_type, _thickness, _pixel_size, _gantry_tilt, _count, _geometry, _matrix)
_FLAGGING: Final[tuple[Gate, ...]] = (
    _thick_flag,
    spacing_flags,
    _kernel,
    _contrast,
    _position,
    _body_part,
    _lossy,
)

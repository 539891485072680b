# SPDX-License-Identifier: Apache-2.0
"""Gate G0: what a chest radiograph's header must say, as data of the package's acceptance profile."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from service.domain.instance import Instance
from service.domain.result import Reason
from service.pipelines.pneumoconiosis.headers import age_years_of, body_part_of, pixel_spacing_of, view_of

Acceptance = Mapping[str, Any]
Gate = Callable[[Instance, Acceptance], Reason | None]


def header_reasons(instance: Instance, acceptance: Acceptance) -> tuple[Reason, ...]:
    """Return why the image is refused by its header, one reason for each failed gate."""
    reasons = (gate(instance, acceptance) for gate in _GATES)
    return tuple(reason for reason in reasons if reason is not None)


def header_flags(instance: Instance, acceptance: Acceptance) -> tuple[Reason, ...]:
    """Return what must be known when reading the result of an accepted image."""
    flags = (flag(instance, acceptance) for flag in _FLAGS)
    return tuple(flag for flag in flags if flag is not None)


def _sop_class(instance: Instance, acceptance: Acceptance) -> Reason | None:
    if instance.sop_class_uid in acceptance["sop_classes"]:
        return None
    return Reason(
        code="sop_class",
        message=f"(0008,0016) SOP Class UID is {instance.sop_class_uid}; only Computed Radiography and Digital X-Ray "
        "for presentation are analysed; send the original image",
    )


def _intent(instance: Instance, _: Acceptance) -> Reason | None:
    intent = instance.text("PresentationIntentType")
    if intent in {"", "FOR PRESENTATION"}:
        return None
    return Reason(
        code="presentation_intent",
        message=f"(0008,0068) Presentation Intent Type is {intent!r}; send the image FOR PRESENTATION",
    )


def _view(instance: Instance, acceptance: Acceptance) -> Reason | None:
    view, accepted = view_of(instance), acceptance["views"]
    if view in {"", *accepted}:
        return None
    return Reason(
        code="view",
        message=f"(0018,5101) View Position or (0054,0220) View Code Sequence is {view}; the ILO classification is "
        f"defined for {', '.join(accepted)} alone",
    )


def _body_part(instance: Instance, acceptance: Acceptance) -> Reason | None:
    part = body_part_of(instance)
    if part in {"", *acceptance["body_parts"]}:
        return None
    return Reason(
        code="body_part",
        message=f"(0018,0015) Body Part Examined is {part!r}; accepted: {', '.join(acceptance['body_parts'])}",
    )


def _derivation(instance: Instance, acceptance: Acceptance) -> Reason | None:
    keywords = ("ImageType", "DerivationDescription", "SeriesDescription")
    said = " ".join(str(value) for keyword in keywords for value in instance.values(keyword)).upper()
    found = next((word for word in acceptance["derivations_refused"] if word in said.replace("_", " ")), None)
    if found is None:
        return None
    return Reason(
        code="derivation",
        message=f"(0008,0008) Image Type or a description says {found!r}; send the plain radiograph, "
        "not a bone-suppressed or dual-energy image",
    )


_BEDSIDE = frozenset({"PORTABLE", "BEDSIDE"})
"""Not MOBILE: the vans of mass screening, whose films are PA, are called so, too."""


def _portable(instance: Instance, _: Acceptance) -> Reason | None:
    keywords = ("SeriesDescription", "ProtocolName", "StudyDescription")
    said = {
        word: keyword
        for keyword in keywords
        for value in instance.values(keyword)
        for word in re.findall(r"[A-Z]+", str(value).upper())
    }
    found = next(iter(sorted(_BEDSIDE & said.keys())), None)
    if found is None:
        return None
    return Reason(
        code="portable",
        message=f"{said[found]} says {found}; bedside films are taken AP, and the ILO classification needs a film "
        "that was taken PA at full distance",
    )


def _spacing(instance: Instance, acceptance: Acceptance) -> Reason | None:
    found, limit = pixel_spacing_of(instance), float(acceptance["pixel_spacing_max_mm"])
    if found is None:
        return Reason(
            code="pixel_spacing_missing",
            message="(0018,1164) Imager Pixel Spacing and (0028,0030) Pixel Spacing are absent or zero; opacities are "
            "classified by their size in mm, so the modality must send one of them",
        )
    keyword, spacing = found
    if max(spacing) <= limit:
        return None
    return Reason(
        code="pixel_spacing",
        message=f"{keyword} is {max(spacing):g} mm; at most {limit:g} mm shows small opacities; send the original",
    )


def _frames(instance: Instance, _: Acceptance) -> Reason | None:
    frames = instance.number("NumberOfFrames") or 1
    if frames == 1:
        return None
    return Reason(code="multi_frame", message=f"(0028,0008) Number of Frames is {frames:g}; one film is one frame")


def _bits(instance: Instance, acceptance: Acceptance) -> Reason | None:
    bits, least = instance.number("BitsStored"), acceptance["bits_stored_min"]
    if bits is None or bits >= least:
        return None
    return Reason(code="bits_stored", message=f"(0028,0101) Bits Stored is {bits:g}; at least {least} are needed")


def _lossy(instance: Instance, acceptance: Acceptance) -> Reason | None:
    ratio, limit = instance.number("LossyImageCompressionRatio"), acceptance["lossy_ratio_max"]
    if not _is_lossy(instance) or ratio is None or ratio <= limit:
        return None
    return Reason(
        code="lossy_ratio",
        message=f"(0028,2112) Lossy Image Compression Ratio is {ratio:g}; at most {limit:g} keeps small opacities",
    )


def _age(instance: Instance, acceptance: Acceptance) -> Reason | None:
    age, least = age_years_of(instance), acceptance["age_min_years"]
    if age is None or age >= least:
        return None
    return Reason(code="age", message=f"(0010,1010) Patient's Age is below {least} years; the package is for adults")


def _orientation(instance: Instance, _: Acceptance) -> Reason | None:
    axes = [str(value)[:1].upper() for value in instance.values("PatientOrientation")]
    if len(axes) != 2 or _is_frontal(axes):
        return None
    return Reason(
        code="orientation",
        message=f"(0020,0020) Patient Orientation is {axes[0]}\\{axes[1]}; a frontal film runs left-right, head-feet",
    )


def _is_frontal(axes: list[str]) -> bool:
    return any(a in {"L", "R"} and b in {"H", "F"} for a, b in (axes, axes[::-1]))


def _is_lossy(instance: Instance) -> bool:
    return instance.text("LossyImageCompression") == "01"


def _view_unknown(instance: Instance, _: Acceptance) -> Reason | None:
    if view_of(instance):
        return None
    return Reason(
        code="view_unknown",
        message="(0018,5101) View Position is empty; the film was taken for PA because its anatomy is that of one",
    )


def _body_part_unknown(instance: Instance, _: Acceptance) -> Reason | None:
    if body_part_of(instance):
        return None
    return Reason(
        code="body_part_unknown",
        message="(0018,0015) Body Part Examined is empty; the film was taken for a chest because two lungs were found",
    )


def _orientation_unknown(instance: Instance, _: Acceptance) -> Reason | None:
    if len(instance.values("PatientOrientation")) == 2:
        return None
    return Reason(
        code="orientation_unknown",
        message="(0020,0020) Patient Orientation is empty; the film was taken to be stored upright, facing the reader",
    )


def _age_unknown(instance: Instance, _: Acceptance) -> Reason | None:
    if age_years_of(instance) is not None:
        return None
    return Reason(code="age_unknown", message="(0010,1010) Patient's Age is not given; the package is for adults only")


def _lossy_flag(instance: Instance, _: Acceptance) -> Reason | None:
    if not _is_lossy(instance):
        return None
    ratio = instance.number("LossyImageCompressionRatio")
    shown = "unknown" if ratio is None else f"{ratio:g}"
    return Reason(
        code="lossy", message=f"(0028,2110) Lossy Image Compression is 01, ratio {shown}; fine structure may be lost"
    )


def _spacing_coarse(instance: Instance, acceptance: Acceptance) -> Reason | None:
    found, wanted = pixel_spacing_of(instance), float(acceptance["pixel_spacing_wanted_mm"])
    if found is None or max(found[1]) <= wanted:
        return None
    return Reason(
        code="pixel_spacing_coarse",
        message=f"{found[0]} is {max(found[1]):g} mm; above {wanted:g} mm the smallest opacities may be missed",
    )


def _spacing_uncalibrated(instance: Instance, _: Acceptance) -> Reason | None:
    found = pixel_spacing_of(instance)
    if found is None or found[0] != "PixelSpacing" or instance.text("PixelSpacingCalibrationType"):
        return None
    return Reason(
        code="pixel_spacing_uncalibrated",
        message="(0028,0030) Pixel Spacing is given without Imager Pixel Spacing; it was taken as that of the detector",
    )


def _burned_in(instance: Instance, _: Acceptance) -> Reason | None:
    if instance.text("BurnedInAnnotation") != "YES":
        return None
    return Reason(code="burned_in", message="(0028,0301) Burned In Annotation is YES; writing may cover lung")


_GATES: tuple[Gate, ...] = (
    _sop_class,
    _intent,
    _view,
    _body_part,
    _derivation,
    _portable,
    _spacing,
    _frames,
    _bits,
    _lossy,
    _age,
    _orientation,
)
_FLAGS: tuple[Gate, ...] = (
    _view_unknown,
    _body_part_unknown,
    _orientation_unknown,
    _age_unknown,
    _lossy_flag,
    _spacing_coarse,
    _spacing_uncalibrated,
    _burned_in,
)

# SPDX-License-Identifier: Apache-2.0
"""Gate G0: what a view's header must say, as data of the package's acceptance profile."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from service.domain.conversion import FOR_PROCESSING
from service.domain.instance import Instance
from service.domain.result import Reason
from service.imaging.for_processing import RELATIONSHIPS, SIGNS
from service.pipelines.certainty import INDETERMINATE
from service.pipelines.mammography.views import (
    MODIFIER_CODES,
    SIDE_NAMES,
    intent_of,
    is_breast,
    is_digital_mammography,
    is_tomosynthesis,
    name_of,
    side_of,
    view_of,
)

Acceptance = Mapping[str, Any]
Gate = Callable[[Instance, Acceptance], Reason | None]


def header_reasons(instance: Instance, acceptance: Acceptance) -> tuple[Reason, ...]:
    """Return why a view is refused by its header, one reason for each failed gate; empty when it is accepted."""
    if is_tomosynthesis(instance):
        return (_tomosynthesis(instance),)
    if not is_digital_mammography(instance):
        return (_not_digital(instance),)
    reasons = (gate(instance, acceptance) for gate in _GATES)
    return tuple(reason for reason in reasons if reason is not None)


def header_flags(instance: Instance, acceptance: Acceptance) -> tuple[Reason, ...]:
    """Return what must be known when reading the result of an accepted view."""
    flags = (flag(instance, acceptance) for flag in _FLAGS)
    return tuple(reason for reason in flags if reason is not None)


def exam_flags(instances: Sequence[Instance]) -> tuple[Reason, ...]:
    """Return what accepted views say together: one that is there twice, or twice on one side and not on the other."""
    counted = Counter((side_of(instance), view_of(instance)) for instance in instances)
    sides = {side for side, _ in counted}
    found = []
    for instance in instances:
        side, view = side_of(instance), view_of(instance)
        count = counted.pop((side, view), 0)
        if count < 2:
            continue
        other = {"L": "R", "R": "L"}[side]
        what = f"{SIDE_NAMES[side]} {view} is there {count} times"
        if other in sides and (other, view) not in {(side_of(one), view_of(one)) for one in instances}:
            rule = f"and {SIDE_NAMES[other]} {view} not at all; (0020,0062) Image Laterality of one may be wrong"
            found.append(Reason(code="laterality_doubtful", message=f"{what} {rule}"))
        else:
            found.append(Reason(code="repeated_view", message=f"{what}; all were read, and the highest score counts"))
    return tuple(found)


def _tomosynthesis(instance: Instance) -> Reason:
    return _reason(instance, "tomosynthesis", "SOP Class is Breast Tomosynthesis; the package reads 2-D mammograms")


def _not_digital(instance: Instance) -> Reason:
    what = f"SOP Class UID {instance.sop_class_uid!r} is no Digital Mammography X-Ray Image; "
    if is_breast(instance):
        rule = "digitised films and screen captures are not analysed; send the original For Presentation images"
        return _reason(instance, "digitised_film", what + rule)
    return _reason(instance, "not_a_mammogram", what + "send the original For Presentation images")


def _intent(instance: Instance, acceptance: Acceptance) -> Reason | None:
    intent, accepted = intent_of(instance), acceptance["presentation_intents"]
    if intent in accepted:
        return None
    return _refused(instance, "presentation_intent", f"(0008,0068) Presentation Intent Type {intent!r}", accepted)


def _pixel_intensity(instance: Instance, acceptance: Acceptance) -> Reason | None:
    """Refuse values For Processing that nobody says the meaning of (PS3.3 C.8.11.3: both are Type 1)."""
    if intent_of(instance) != FOR_PROCESSING or FOR_PROCESSING not in acceptance["presentation_intents"]:
        return None
    relationship, sign = instance.text("PixelIntensityRelationship"), instance.number("PixelIntensityRelationshipSign")
    if relationship in RELATIONSHIPS and sign in SIGNS:
        return None
    shown = "nothing" if sign is None else f"{sign:g}"
    what = (
        f"(0028,1040) Pixel Intensity Relationship is {relationship or 'nothing'!r} and (0028,1041) its Sign {shown}; "
        f"raw images with {' or '.join(RELATIONSHIPS)} and 1 or -1 are analysed"
    )
    return _reason(instance, "pixel_intensity", what)


def _film(instance: Instance, _: Acceptance) -> Reason | None:
    """Refuse what a film scanner made, although its SOP class is that of a detector (PS3.3 C.8.11.4 Detector Type)."""
    if instance.text("DetectorType") != "FILM":
        return None
    return _reason(instance, "digitised_film", "(0018,7004) Detector Type is FILM; digitised films are not analysed")


def _image_type(instance: Instance, acceptance: Acceptance) -> Reason | None:
    refused = set(acceptance["image_types_refused"])
    found = [value for value in instance.values("ImageType") if str(value).upper() in refused]
    if not found:
        return None
    return _reason(
        instance,
        "image_type",
        f"(0008,0008) Image Type has {found[0]!r}; only originals of standard views are analysed",
    )


def _view(instance: Instance, acceptance: Acceptance) -> Reason | None:
    view, accepted = view_of(instance), acceptance["views"]
    if view in accepted:
        return None
    what = f"(0054,0220) View Code Sequence or (0018,5101) View Position says {view or 'nothing'}"
    return _refused(instance, "view", what, accepted)


def _modifier(instance: Instance, acceptance: Acceptance) -> Reason | None:
    values = [str(value) for value in instance.values(MODIFIER_CODES)]
    meanings = [str(value) for value in instance.values("ViewCodeSequence.ViewModifierCodeSequence.CodeMeaning")]
    strange = [index for index, value in enumerate(values) if value not in acceptance["view_modifiers"]]
    if not strange:
        return None
    shown = meanings[strange[0]] if len(meanings) == len(values) else values[strange[0]]
    return _reason(
        instance, "view_modifier", f"(0054,0222) View Modifier {shown!r} is not accepted; send the full standard view"
    )


def _laterality(instance: Instance, acceptance: Acceptance) -> Reason | None:
    side, accepted = side_of(instance), acceptance["lateralities"]
    if side in accepted:
        return None
    return _refused(instance, "laterality", f"(0020,0062) Image Laterality {side!r}", accepted)


def _orientation_of_side(instance: Instance, _: Acceptance) -> Reason | None:
    """Compare the side with Patient Orientation where that has both letters: an oblique view runs down and inwards.

    The letters of a cranio-caudal view fit either breast, one of them stored mirrored.
    """
    side = side_of(instance)
    slanting = [str(value).upper() for value in instance.values("PatientOrientation") if _slants(str(value).upper())]
    inwards = {"L": ("FR", "HL"), "R": ("FL", "HR")}.get(side, ())
    if not slanting or not inwards or any(set(slanting[0][:2]) == set(pair) for pair in inwards):
        return None
    what = f"(0020,0062) Image Laterality {side} with (0020,0020) Patient Orientation {slanting[0]}"
    return _reason(
        instance, "laterality_disagrees", f"{what}: that is the other breast; correct the side at the modality"
    )


def _slants(letters: str) -> bool:
    return bool(set(letters[:2]) & set("FH")) and bool(set(letters[:2]) & set("LR"))


def _implant(instance: Instance, acceptance: Acceptance) -> Reason | None:
    if instance.text("BreastImplantPresent") != "YES" or acceptance["implants"]:
        return None
    return _reason(
        instance, "implant", "(0028,1300) Breast Implant Present is YES; the package was not made for implants"
    )


def _specimen(instance: Instance, acceptance: Acceptance) -> Reason | None:
    named = any(instance.text(f"SpecimenDescriptionSequence.Specimen{end}") for end in ("UID", "Identifier"))
    if acceptance["specimens"] or (view_of(instance) != "127457009" and not named):
        return None
    return _reason(instance, "specimen", "the image is of a tissue specimen; only breasts of patients are analysed")


def _magnification(instance: Instance, acceptance: Acceptance) -> Reason | None:
    factor, most = instance.number("EstimatedRadiographicMagnificationFactor"), acceptance["magnification_max"]
    if factor is None or factor <= most:
        return None
    what = f"(0018,1114) Estimated Radiographic Magnification Factor {factor:g} is above {most:g}"
    return _reason(instance, "magnification", f"{what}; magnified views are not analysed")


def _spacing(instance: Instance, acceptance: Acceptance) -> Reason | None:
    values = [float(value) for value in instance.values("ImagerPixelSpacing")]
    low, high = acceptance["pixel_spacing_mm"]
    if len(values) == 2 and all(low - 1e-6 <= value <= high + 1e-6 for value in values):
        return None
    shown = "\\".join(f"{value:g}" for value in values) or "nothing"
    return _reason(
        instance, "pixel_spacing", f"(0018,1164) Imager Pixel Spacing says {shown}; {low:g} to {high:g} mm is accepted"
    )


def _frames(instance: Instance, acceptance: Acceptance) -> Reason | None:
    count = instance.number("NumberOfFrames") or 1
    if count <= acceptance["frames_max"]:
        return None
    return _reason(
        instance, "multi_frame", f"(0028,0008) Number of Frames is {count:g}; {acceptance['frames_max']} is accepted"
    )


def _partial(instance: Instance, _: Acceptance) -> Reason | None:
    if instance.text("PartialView") != "YES":
        return None
    return _reason(instance, "partial_view", "(0028,1350) Partial View is YES; part of the breast is not shown")


def _sex(instance: Instance, acceptance: Acceptance) -> Reason | None:
    sex = instance.text("PatientSex")
    if sex in acceptance["patient_sexes"]:
        return None
    return _reason(instance, "patient_sex", f"(0010,0040) Patient's Sex {sex!r} was not seen by the package")


def _lossy(instance: Instance, _: Acceptance) -> Reason | None:
    if instance.text("LossyImageCompression") != "01":
        return None
    return _reason(instance, "lossy", "(0028,2110) Lossy Image Compression is 01; fine structure may be lost")


_GATES: tuple[Gate, ...] = (
    _intent,
    _pixel_intensity,
    _film,
    _image_type,
    _view,
    _modifier,
    _laterality,
    _orientation_of_side,
    _implant,
    _specimen,
    _magnification,
    _spacing,
    _frames,
)
_FLAGS: tuple[Gate, ...] = (_partial, _sex, _lossy)
FLAG_CODES = frozenset(
    {
        "partial_view",
        "patient_sex",
        "lossy",
        "for_processing",
        "repeated_view",
        "laterality_doubtful",
        "breast_exceeds_field",
        "tomosynthesis",
        INDETERMINATE,
    }
)
"""Codes that do not make an exam partly analysed: flags on views that are analysed, and companions of 2-D views.

Every other code says that a view was refused.
"""


def _refused(instance: Instance, code: str, what: str, accepted: Any) -> Reason:
    return _reason(instance, code, f"{what} is not accepted; accepted: {', '.join(map(str, accepted))}")


def _reason(instance: Instance, code: str, rule: str) -> Reason:
    return Reason(code=code, message=f"{name_of(instance)}: {rule}")

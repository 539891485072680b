# SPDX-License-Identifier: Apache-2.0
"""Which mammogram an instance is, by its header: view, side, processing; and what a standard exam has."""

from collections.abc import Sequence

from service.domain.conversion import FOR_PROCESSING
from service.domain.instance import Instance

STANDARD_EXAM = (("R", "CC"), ("R", "MLO"), ("L", "CC"), ("L", "MLO"))
"""(side, view) of the four standard views, in the order that they are analysed."""

MODIFIER_CODES = "ViewCodeSequence.ViewModifierCodeSequence.CodeValue"
FULL_VIEW_MODIFIERS = frozenset({"442581004", "442580003", "442593008"})
"""View modifiers that leave a view whole: nipple in profile, axillary tissue, infra-mammary fold (CID 4015)."""

SIDE_NAMES = {"R": "right", "L": "left"}

_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.2.1"
_TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_VIEW_OF_CODE = {
    "399162004": "CC",
    "R-10242": "CC",
    "399368009": "MLO",
    "R-10226": "MLO",
}
"""SNOMED CT codes of CID 4014, and the SNOMED RT codes that older devices send."""


def is_mammogram(instance: Instance) -> bool:
    """Say whether an instance is a picture of a breast that this pipeline must accept or refuse."""
    sop_class = instance.sop_class_uid
    if sop_class in {_PRESENTATION, _PROCESSING, _TOMOSYNTHESIS} or instance.text("Modality") == "MG":
        return True
    return sop_class == _SECONDARY_CAPTURE and is_breast(instance) and bool(view_of(instance))


def is_breast(instance: Instance) -> bool:
    """Say whether Body Part Examined or Anatomic Region names the breast."""
    regions = {str(value).upper() for value in instance.values("AnatomicRegionSequence.CodeMeaning")}
    return "BREAST" in regions | {instance.text("BodyPartExamined")}


def view_of(instance: Instance) -> str:
    """Return "CC", "MLO", another view's code or name, or "": View Code Sequence first, then View Position."""
    code = instance.text("ViewCodeSequence.CodeValue")
    return _VIEW_OF_CODE.get(code, code) or instance.text("ViewPosition")


def side_of(instance: Instance) -> str:
    """Return Image Laterality, or the series' Laterality where a device does not write it."""
    return instance.text("ImageLaterality") or instance.text("Laterality")


def intent_of(instance: Instance) -> str:
    """Return Presentation Intent Type, or what the SOP class says where a device does not write it."""
    implied = {_PRESENTATION: "FOR PRESENTATION", _PROCESSING: FOR_PROCESSING}
    return instance.text("PresentationIntentType") or implied.get(instance.sop_class_uid, "")


def is_tomosynthesis(instance: Instance) -> bool:
    """Say whether an instance is a tomosynthesis object."""
    return instance.sop_class_uid == _TOMOSYNTHESIS


def is_digital_mammography(instance: Instance) -> bool:
    """Say whether an instance is a Digital Mammography X-Ray Image, for presentation or for processing."""
    return instance.sop_class_uid in {_PRESENTATION, _PROCESSING}


def name_of(instance: Instance) -> str:
    """Return how messages name a view, for example "left MLO (instance 4)"; never by patient."""
    side = SIDE_NAMES.get(side_of(instance), "unknown side")
    number = instance.text("InstanceNumber")
    return f"{side} {view_of(instance) or 'unknown view'}" + (f" (instance {number})" if number else "")


def order_of(instance: Instance) -> tuple[int, float, str]:
    """Return the sort key of the analysis: standard order first, then instance number, then UID."""
    place = (side_of(instance), view_of(instance))
    rank = STANDARD_EXAM.index(place) if place in STANDARD_EXAM else len(STANDARD_EXAM)
    return rank, instance.number("InstanceNumber") or 0.0, instance.sop_instance_uid


def present_views(instances: Sequence[Instance]) -> set[tuple[str, str]]:
    """Return the (side, view) of all full views that are for presentation; spot and magnified views do not count."""
    return full_views(instances, intent="FOR PRESENTATION")


def full_views(instances: Sequence[Instance], *, intent: str) -> set[tuple[str, str]]:
    """Return the (side, view) of all full views with a Presentation Intent Type."""
    shown = [instance for instance in instances if intent_of(instance) == intent and _is_full(instance)]
    return {(side_of(instance), view_of(instance)) for instance in shown}


def _is_full(instance: Instance) -> bool:
    modifiers = {str(value) for value in instance.values(MODIFIER_CODES)}
    magnification = instance.number("EstimatedRadiographicMagnificationFactor") or 1.0
    return modifiers <= FULL_VIEW_MODIFIERS and magnification < 1.2


def without_siblings(instances: Sequence[Instance], *, intents: Sequence[str]) -> list[Instance]:
    """Leave out what is there in another form that goes before: views For Processing beside those For Presentation.

    The reader sees the latter; only where a package takes no others (`intents`) is it the other way round.
    """
    first, other = ("FOR PRESENTATION", FOR_PROCESSING)
    if first not in intents:
        first, other = other, first
    shown = full_views(instances, intent=first)
    return [
        instance
        for instance in instances
        if intent_of(instance) != other or (side_of(instance), view_of(instance)) not in shown
    ]

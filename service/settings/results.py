# SPDX-License-Identifier: Apache-2.0
"""Which result objects a destination is sent, and the choices about how they are written."""

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from service.settings.base import Section


class ResultKind(StrEnum):
    """The kinds of result object, as they are named in config.yaml and in metric labels."""

    SR = "sr"
    HEATMAP = "heatmap"
    MAMMOGRAPHY_CAD = "mammography_cad"
    CHEST_CAD = "chest_cad"
    PRESENTATION_STATE = "presentation_state"
    SEGMENTATION = "segmentation"
    PARAMETRIC_MAP = "parametric_map"
    KEY_OBJECTS = "key_objects"
    TEXT = "text"
    PDF = "pdf"
    REJECTION_NOTE = "rejection_note"
    """Says that older results are replaced (IHE IOCM); made where a destination has `supersede: reject`."""


RESERVED = frozenset({ResultKind.REJECTION_NOTE})
"""Kinds that no `objects` names: they follow from something else."""
CHOICES = tuple(kind for kind in ResultKind if kind not in RESERVED)
OFF_BY_DEFAULT = frozenset(
    {ResultKind.KEY_OBJECTS, ResultKind.CHEST_CAD, ResultKind.PARAMETRIC_MAP, ResultKind.TEXT, ResultKind.PDF}
)
"""Kinds that few archives store or show, and that a destination must ask for."""
DEFAULT_OBJECTS = tuple(kind for kind in CHOICES if kind not in OFF_BY_DEFAULT)
STATEMENTS = frozenset({ResultKind.SR, ResultKind.HEATMAP, ResultKind.TEXT, ResultKind.PDF})
"""Kinds that exist for every result and say its outcome in words; the others are made where they have something to
show. A destination that wants one of these must not end without any of them."""


class ReportClass(StrEnum):
    """The SOP class of the TID 1500 report that a destination is offered first; the simpler ones follow."""

    COMPREHENSIVE = "comprehensive"
    """Comprehensive SR (1.2.840.10008.5.1.4.1.1.88.33), which every viewer that draws reports draws."""
    COMPREHENSIVE_3D = "comprehensive3d"
    """Comprehensive 3D SR (88.34), which IHE AI Results asks for."""


class CharacterSet(StrEnum):
    """The Specific Character Set (0008,0005) of result objects."""

    PRESERVE = "preserve"
    """The source's own; names are copied byte for byte."""
    UTF8 = "utf8"
    """ISO_IR 192; names are converted."""


class Language(StrEnum):
    """The language of what is written for people; codes and their meanings are English in both."""

    ENGLISH = "en"
    JAPANESE = "ja"


class CaptureModality(StrEnum):
    """Modality (0008,0060) of secondary captures of radiographs; those of CT have the source's."""

    OTHER = "ot"
    SOURCE = "source"


class TrackingForm(StrEnum):
    """The form of Tracking Identifier (112039, DCM)."""

    PLAIN = "plain"
    CORNERSTONE = "cornerstone"
    """The form that every version of OHIF turns into measurements that can be edited."""


class Supersession(StrEnum):
    """What becomes of older results of a study when a new one is stored."""

    REFERENCE = "reference"
    """They stay; the new one names them as its predecessors."""
    REJECT = "reject"
    """They are rejected as well, by a Key Object Selection (IHE Imaging Object Change Management)."""


class ResultSettings(Section):
    """How result objects are written; destinations with the same choices are sent the same objects."""

    report_class: ReportClass = ReportClass.COMPREHENSIVE
    character_set: CharacterSet = CharacterSet.PRESERVE
    language: Language = Language.ENGLISH
    capture_modality: CaptureModality = CaptureModality.OTHER
    tracking: TrackingForm = TrackingForm.PLAIN
    max_secondary_captures: int = Field(default=30, ge=1, le=1000)
    """Pictures per result, the most important first; the page with text counts as one."""
    label_maps: bool = False
    """Write segmentations as Label Map as well, for an archive that takes nothing else: as many bytes as the CT has."""


def _known(value: object) -> object:
    if value not in CHOICES:
        known = ", ".join(kind.value for kind in CHOICES)
        remedy = "is made where a destination has 'supersede: reject'" if value in RESERVED else "does not exist"
        raise ValueError(f"this kind of object {remedy}; known: {known}")
    return value


ChosenKind = Annotated[ResultKind, BeforeValidator(_known)]

# SPDX-License-Identifier: Apache-2.0
"""How one destination wants its result objects written: the choices that change their bytes."""

from dataclasses import dataclass
from enum import StrEnum


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


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingProfile:
    """Two destinations with equal profiles are sent the same objects; unequal ones give objects with UIDs of their own.

    `max_secondary_captures` limits the pictures per result, the most important first; a page with text counts as one.
    """

    report_class: ReportClass = ReportClass.COMPREHENSIVE
    character_set: CharacterSet = CharacterSet.PRESERVE
    language: Language = Language.ENGLISH
    capture_modality: CaptureModality = CaptureModality.OTHER
    tracking: TrackingForm = TrackingForm.PLAIN
    max_secondary_captures: int = 30


DEFAULT_PROFILE = EncodingProfile()

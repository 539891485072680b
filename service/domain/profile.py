# SPDX-License-Identifier: Apache-2.0
"""How one destination wants its result objects written: the choices that change their bytes."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from service.settings.results import (
    CaptureModality,
    CharacterSet,
    Language,
    ReportClass,
    ResultSettings,
    TrackingForm,
)

__all__ = [
    "DEFAULT_PROFILE",
    "CaptureModality",
    "CharacterSet",
    "EncodingProfile",
    "Language",
    "ReportClass",
    "TrackingForm",
    "encoding_profile",
    "profile_key",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingProfile:
    """Two destinations with equal profiles are sent the same objects; unequal ones give objects with UIDs of their own.

    `max_secondary_captures` limits the pictures per result, the most important first; a page with text counts as one.
    It is 0 where no pictures are sent, so that reports and key objects name none.
    `label_maps` has segmentations written as Label Map as well, which takes as many bytes as the CT has.
    """

    report_class: ReportClass = ReportClass.COMPREHENSIVE
    character_set: CharacterSet = CharacterSet.PRESERVE
    language: Language = Language.ENGLISH
    capture_modality: CaptureModality = CaptureModality.OTHER
    tracking: TrackingForm = TrackingForm.PLAIN
    max_secondary_captures: int = 30
    label_maps: bool = False


DEFAULT_PROFILE = EncodingProfile()


def encoding_profile(settings: ResultSettings, *, with_captures: bool = True) -> EncodingProfile:
    """Return the profile that the settings of a destination make, and whether it is sent captures."""
    profile = EncodingProfile(**dict(settings))
    return profile if with_captures else replace(profile, max_secondary_captures=0)


def profile_key(profile: EncodingProfile) -> str:
    """Return a short name by which the ledger knows a profile; "" is the default's.

    It follows from what the profile chooses beside the defaults, so that a choice that does not exist yet changes none.
    """
    default = asdict(DEFAULT_PROFILE)
    chosen = sorted((name, value) for name, value in asdict(profile).items() if value != default[name])
    return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:12] if chosen else ""

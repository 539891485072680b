# SPDX-License-Identifier: Apache-2.0
"""Derives every UID of a result from what the result is made of, so that a re-run writes the same objects."""

import json
from dataclasses import asdict
from uuid import UUID, uuid5

from service.domain.profile import DEFAULT_PROFILE, EncodingProfile
from service.domain.result import PipelineResult

SERVICE = "dokuei"
NAMESPACE = UUID("6f2f6f0e-9d0a-5b0e-8a55-3d9b0c0f5a11")
"""Namespace of all derived UIDs; changing it would give every result a second identity."""

SR_ROLE = "sr"
HEATMAP_SERIES_ROLE = "series:heatmap"
PAGE_KEY = "page"
"""Key of the text page that stands in where a result has no heatmap."""
SHEET_KEY = "sheet"
"""Key of the page that shows the reading as a form."""


def derived_uid(*parts: object) -> str:
    """Return "2.25." and the UUIDv5 of the JSON of `parts` as a decimal (PS3.5 B.2)."""
    name = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return f"2.25.{uuid5(NAMESPACE, name).int}"


def result_uid(
    result: PipelineResult, role: str, *, revision: int = 1, profile: EncodingProfile = DEFAULT_PROFILE
) -> str:
    """Return the UID that plays `role` in this result.

    Revision and outcome take part: a later revision, or a retry that ends differently, is another object, and an
    archive that holds the first one must not mistake the second for it. So is what another profile makes of it.
    """
    package = result.package
    identity = [package.name, package.version, package.sha256] if package else ["", "", ""]
    inputs = sorted(result.input_sop_instance_uids)
    study = [result.study_instance_uid, result.pipeline, result.outcome.value, revision]
    return derived_uid(SERVICE, *identity, *study, inputs, role, *_choices(profile))


def _choices(profile: EncodingProfile) -> list[list[list[object]]]:
    """Return what the profile chooses beside the defaults; a choice that does not exist yet changes no UID."""
    default = asdict(DEFAULT_PROFILE)
    chosen: list[list[object]] = [[name, value] for name, value in asdict(profile).items() if value != default[name]]
    return [chosen] if chosen else []


def sr_sop_instance_uid(result: PipelineResult, *, revision: int, profile: EncodingProfile = DEFAULT_PROFILE) -> str:
    """Return the SOP Instance UID of the result's structured report."""
    return result_uid(result, SR_ROLE, revision=revision, profile=profile)


def sr_series_instance_uid(sop_instance_uid: str) -> str:
    """Return the series of a structured report.

    It follows from the report's own UID (one report, one series), so that a successor can name its predecessor's
    series without having the file.
    """
    return derived_uid(SERVICE, "series of", sop_instance_uid)


def heatmap_sop_instance_uid(
    result: PipelineResult, key: str, *, revision: int, profile: EncodingProfile = DEFAULT_PROFILE
) -> str:
    """Return the SOP Instance UID of the heatmap named `key`."""
    return result_uid(result, f"heatmap:{key}", revision=revision, profile=profile)


def heatmap_series_instance_uid(
    result: PipelineResult, *, revision: int, profile: EncodingProfile = DEFAULT_PROFILE
) -> str:
    """Return the one series that holds all heatmaps of a result."""
    return result_uid(result, HEATMAP_SERIES_ROLE, revision=revision, profile=profile)


def tracking_uid(
    result: PipelineResult, finding_key: str, *, revision: int, profile: EncodingProfile = DEFAULT_PROFILE
) -> str:
    """Return the Tracking Unique Identifier of a finding: unique in the document, or OHIF merges two findings."""
    return result_uid(result, f"tracking:{finding_key}", revision=revision, profile=profile)

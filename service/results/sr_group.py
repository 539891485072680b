# SPDX-License-Identifier: Apache-2.0
"""Turns one finding into one measurement group (TID 1410) of the profile that every viewer draws (results.md 4.3)."""

import math
from dataclasses import dataclass

import highdicom as hd
import numpy as np

from service import __version__
from service.codes import Code, code, dcm, sct
from service.domain.instance import Instance
from service.domain.profile import DEFAULT_PROFILE, EncodingProfile
from service.domain.provenance import MANUFACTURER
from service.domain.result import Finding, Measurement, PackageIdentity, PackageStatus, PipelineResult, Presence, Region
from service.results.identifiers import heatmap_sop_instance_uid, tracking_uid
from service.results.sources import Sources, integer
from service.results.statements import label, meaning

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PERCENT = code("UCUM", "%")
PRESENCE = {
    Presence.PRESENT: sct("52101004"),
    Presence.ABSENT: sct("272519000"),
    Presence.UNDETERMINED: sct("373068000"),
}
CANCER_PIPELINE = "mammography"
"""The one pipeline whose calibrated score is a probability of cancer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupContext:
    """What every group of a report needs beside its finding."""

    result: PipelineResult
    sources: Sources
    revision: int
    profile: EncodingProfile = DEFAULT_PROFILE


def concept(value: Code) -> hd.sr.CodedConcept:
    """Return our code as highdicom's."""
    return hd.sr.CodedConcept(value=value.value, scheme_designator=value.scheme, meaning=meaning(value))


def measurement_group(finding: Finding, context: GroupContext) -> hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """Return the finding as a group, its content in the order of the profile."""
    group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(finding, context),
        finding_type=concept(finding.finding),
        finding_sites=_sites(finding),
        algorithm_id=_algorithm(context.result),
        measurements=_measurements(finding, context.result),
        qualitative_evaluations=_evaluations(finding),
        geometric_purpose=concept(sct("75958009")),
        referenced_region=_region(finding.region, context.sources),
    )
    content = group[0].ContentSequence
    content.append(_comment(finding.label))
    explanation = _visual_explanation(finding.region, context)
    if explanation is not None:
        content.append(explanation)
    return group


def _tracking(finding: Finding, context: GroupContext) -> hd.sr.TrackingIdentifier:
    uid = tracking_uid(context.result, finding.key, revision=context.revision, profile=context.profile)
    return hd.sr.TrackingIdentifier(uid=uid, identifier=label(f"{context.result.pipeline} {finding.key}"))


def _sites(finding: Finding) -> list[hd.sr.FindingSite] | None:
    if finding.site is None:
        return None
    side = None if finding.laterality is None else concept(finding.laterality)
    return [hd.sr.FindingSite(anatomic_location=concept(finding.site), laterality=side)]


def _algorithm(result: PipelineResult) -> hd.sr.AlgorithmIdentification:
    """Return TID 4019; it stands in each group, where PixelMed's validator accepts it."""
    package = result.package or _no_package(result)
    return hd.sr.AlgorithmIdentification(
        name=label(package.name),
        version=label(package.version),
        manufacturer=MANUFACTURER,
        parameters=[f"sha256:{package.sha256}", f"status:{package.status.value}"] if result.package else None,
        family=concept(dcm("123110")),
    )


def _no_package(result: PipelineResult) -> PackageIdentity:
    """Name the node itself where no package came to run."""
    return PackageIdentity(
        name=f"dokuei {result.pipeline}", version=__version__, sha256="", status=PackageStatus.RESEARCH
    )


def _measurements(finding: Finding, result: PipelineResult) -> list[hd.sr.Measurement]:
    score = None if finding.score is None else _score(finding, finding.score, result)
    return [_measurement(entry, finding) for entry in (score, *finding.measurements) if entry is not None]


def _score(finding: Finding, score: float, result: PipelineResult) -> Measurement | None:
    """Return the score in percent; only a calibrated one may be called a probability (results.md 3.4).

    Certainty is that of what the group states: a low score makes an absence certain. Nothing stated, no certainty.
    """
    if finding.calibrated and result.pipeline == CANCER_PIPELINE:
        return Measurement(name=dcm("111047"), value=round(score * 100, 2), unit=PERCENT)
    if finding.presence is Presence.UNDETERMINED:
        return None
    certainty = score if finding.presence is Presence.PRESENT else 1 - score
    return Measurement(name=dcm("111012"), value=round(certainty * 100, 2), unit=PERCENT)


def _measurement(entry: Measurement, finding: Finding) -> hd.sr.Measurement:
    if not math.isfinite(entry.value):
        raise ValueError(
            f"finding {finding.key!r}: measurement '{entry.name.meaning}' is {entry.value}, which DICOM cannot carry; "
            "the pipeline must leave it out"
        )
    return hd.sr.Measurement(name=concept(entry.name), value=round(float(entry.value), 6), unit=concept(entry.unit))


def _evaluations(finding: Finding) -> list[hd.sr.QualitativeEvaluation]:
    pairs = [(dcm("121052"), PRESENCE[finding.presence])]
    if finding.site is None and finding.laterality is not None:
        pairs.append((sct("272741003"), finding.laterality))
    pairs += [(entry.name, entry.value) for entry in finding.evaluations]
    return [hd.sr.QualitativeEvaluation(name=concept(name), value=concept(value)) for name, value in pairs]


def _region(region: Region, sources: Sources) -> hd.sr.ImageRegion:
    instance = sources.instance(region.sop_instance_uid)
    frames = None if region.frame_number is None else [region.frame_number]
    image = hd.sr.SourceImageForRegion(
        referenced_sop_class_uid=instance.sop_class_uid,
        referenced_sop_instance_uid=instance.sop_instance_uid,
        referenced_frame_numbers=frames,
    )
    # highdicom names it (260753009, SCT, Source), which Stone does not draw.
    image.ConceptNameCodeSequence = [concept(dcm("111040"))]
    points = closed_outline(region, *image_size(instance, sources))
    return hd.sr.ImageRegion(graphic_type="POLYLINE", graphic_data=points, source_image=image)


def image_size(instance: Instance, sources: Sources) -> tuple[float, float]:
    """Return (columns, rows) of a source image; (inf, inf) when its header does not say."""
    header = sources.header(instance.sop_instance_uid)
    columns, rows = integer(header, "Columns"), integer(header, "Rows")
    return float(columns or math.inf), float(rows or math.inf)


def closed_outline(region: Region, columns: float, rows: float) -> np.ndarray:
    """Return the outline clipped to the image, closed; one too small to be seen becomes a box of one pixel."""
    points = np.asarray(region.points, dtype=np.float64).clip((0, 0), (columns, rows))
    low, high = points.min(axis=0), points.max(axis=0)
    if len(np.unique(points, axis=0)) < 3 or (high - low).min() < 1:
        points = _box(low, high, np.array((columns, rows)))
    return points if (points[0] == points[-1]).all() else np.vstack((points, points[:1]))


def _box(low: np.ndarray, high: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Widen bounds to whole pixels within the image, one at least, and return them as a closed box."""
    low = np.minimum(np.floor(low), size - 1)
    high = np.maximum(np.ceil(high), low + 1)
    return np.array([low, (high[0], low[1]), high, (low[0], high[1]), low])


def _comment(words: str) -> hd.sr.TextContentItem:
    return hd.sr.TextContentItem(
        name=concept(dcm("121106")), value=label(words) or "Finding", relationship_type="CONTAINS"
    )


def _visual_explanation(region: Region, context: GroupContext) -> hd.sr.ImageContentItem | None:
    """Return the reference to the heatmap of the region's image, when one is made."""
    for heatmap in context.result.heatmaps:
        if (heatmap.source_sop_instance_uid, heatmap.frame_number) == (region.sop_instance_uid, region.frame_number):
            return hd.sr.ImageContentItem(
                name=concept(dcm("130401")),
                referenced_sop_class_uid=SECONDARY_CAPTURE,
                referenced_sop_instance_uid=heatmap_sop_instance_uid(
                    context.result, heatmap.key, revision=context.revision, profile=context.profile
                ),
                relationship_type="CONTAINS",
            )
    return None

# SPDX-License-Identifier: Apache-2.0
"""Turns one finding into one measurement group (TID 1410) of the profile that every viewer draws (results.md 4.3)."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from service import __version__
from service.codes import code, dcm, sct
from service.domain.instance import Instance
from service.domain.profile import TrackingForm
from service.domain.provenance import MANUFACTURER
from service.domain.result import Finding, Measurement, PackageIdentity, PackageStatus, PipelineResult, Presence, Region
from service.ports import ResultContext
from service.results.object.identifiers import heatmap_sop_instance_uid, tracking_uid
from service.results.report.sr_tree import (
    Coded,
    Container,
    Coordinates,
    GraphicType,
    Image,
    Item,
    Link,
    Number,
    Reference,
    Relationship,
    Text,
    UidReference,
    by_value,
    contains,
)
from service.results.source.sources import Sources, integer
from service.results.words.statements import label
from service.results.words.wording import WORDS, Words

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PERCENT = code("UCUM", "%")
PRESENCE = {
    Presence.PRESENT: sct("52101004"),
    Presence.ABSENT: sct("272519000"),
    Presence.UNDETERMINED: sct("373068000"),
}
CANCER_PIPELINE = "mammography"
"""The one pipeline whose calibrated score is a probability of cancer."""
CORNERSTONE_PREFIX = "Cornerstone3DTools@^0.1.0"
"""With which OHIF recognises, by the name of the tool that follows, a measurement that it can edit (results.md 4.2)."""
SMALLEST_PX = 1


@dataclass(frozen=True, kw_only=True)
class GroupContext:
    """What every group of a report needs beside its finding."""

    result: PipelineResult
    context: ResultContext
    sources: Sources

    @cached_property
    def words(self) -> Words:
        """The words of the report's language."""
        return WORDS[self.sources.language]

    @cached_property
    def pictures(self) -> dict[tuple[str, int | None], str]:
        """SOP Instance UID of the first heatmap of each source image and frame."""
        made: dict[tuple[str, int | None], str] = {}
        for heatmap in self.result.heatmaps:
            uid = heatmap_sop_instance_uid(
                self.result, heatmap.key, revision=self.context.revision, profile=self.context.profile
            )
            made.setdefault((heatmap.source_sop_instance_uid, heatmap.frame_number), uid)
        return made


def measurement_group(finding: Finding, context: GroupContext) -> Item:
    """Return the finding as a group, its content in the order of the profile."""
    links = (
        *_tracking(finding, context),
        *contains(Item(dcm("121071"), Coded(finding.finding))),
        *_site(finding),
        *_algorithm(context.result),
        *contains(*_measurements(finding, context.result), *_evaluations(finding)),
        *contains(Item(dcm("130400"), Coded(sct("75958009"))), _region(finding.region, context.sources)),
        *contains(Item(dcm("121106"), Text(context.words.label(finding)))),
        *_visual_explanation(finding.region, context),
    )
    return Item(dcm("125007"), Container("1410"), links)


def _tracking(finding: Finding, context: GroupContext) -> tuple[Link, ...]:
    """Return TID 4108; the UID is the first UIDREF, which OHIF reads."""
    uid = tracking_uid(context.result, finding.key, revision=context.context.revision, profile=context.context.profile)
    form = IDENTIFIERS[context.context.profile.tracking]
    return by_value(
        Relationship.HAS_OBS_CONTEXT,
        Item(dcm("112039"), Text(form(finding, context.result))),
        Item(dcm("112040"), UidReference(uid)),
    )


def _plain(finding: Finding, result: PipelineResult) -> str:
    return label(f"{result.pipeline} {finding.key}")


def _cornerstone(finding: Finding, result: PipelineResult) -> str:
    """Return the identifier from which every version of OHIF makes an annotation that can be edited."""
    tool = "RectangleROI" if is_box(finding.region) else "PlanarFreehandROI"
    return f"{CORNERSTONE_PREFIX}:{tool}:{_plain(finding, result)}"


IDENTIFIERS = {TrackingForm.PLAIN: _plain, TrackingForm.CORNERSTONE: _cornerstone}


def is_box(region: Region) -> bool:
    """Say whether the outline is an upright rectangle."""
    x0, y0, x1, y1 = region.bounds
    return set(region.points) == {(x0, y0), (x1, y0), (x1, y1), (x0, y1)}


def _site(finding: Finding) -> tuple[Link, ...]:
    if finding.site is None:
        return ()
    side = () if finding.laterality is None else (Item(sct("272741003"), Coded(finding.laterality)),)
    site = Item(sct("363698007"), Coded(finding.site), by_value(Relationship.HAS_CONCEPT_MOD, *side))
    return by_value(Relationship.HAS_CONCEPT_MOD, site)


def _algorithm(result: PipelineResult) -> tuple[Link, ...]:
    """Return TID 4019; it stands in each group, where PixelMed's validator accepts it."""
    package = result.package or _no_package(result)
    digest = (f"sha256:{package.sha256}", f"status:{package.status.value}") if result.package else ()
    texts = (
        ("111001", label(package.name)),
        ("111003", label(package.version)),
        ("122405", MANUFACTURER),
        *(("111002", parameter) for parameter in (*digest, *_operating_point(result))),
    )
    return by_value(
        Relationship.HAS_CONCEPT_MOD,
        *(Item(dcm(value), Text(words)) for value, words in texts),
        Item(dcm("111000"), Coded(dcm("123110"))),
    )


def _operating_point(result: PipelineResult) -> tuple[str, ...]:
    triage = result.triage
    return () if triage is None else (label(f"operating point:{triage.operating_point} at {triage.threshold:g}"),)


def _no_package(result: PipelineResult) -> PackageIdentity:
    """Name the node itself where no package came to run."""
    return PackageIdentity(
        name=f"dokuei {result.pipeline}", version=__version__, sha256="", status=PackageStatus.RESEARCH
    )


def _measurements(finding: Finding, result: PipelineResult) -> list[Item]:
    score = None if finding.score is None else score_of(finding, finding.score, result)
    return [_measurement(entry, finding) for entry in (score, *finding.measurements) if entry is not None]


def score_of(finding: Finding, score: float, result: PipelineResult) -> Measurement | None:
    """Return the score in percent; only a calibrated one may be called a probability (results.md 3.4).

    Certainty is that of what the group states: a low score makes an absence certain. Nothing stated, no certainty.
    """
    if finding.calibrated and result.pipeline == CANCER_PIPELINE:
        return Measurement(name=dcm("111047"), value=round(score * 100, 2), unit=PERCENT)
    if finding.presence is Presence.UNDETERMINED:
        return None
    certainty = score if finding.presence is Presence.PRESENT else 1 - score
    return Measurement(name=dcm("111012"), value=round(certainty * 100, 2), unit=PERCENT)


def _measurement(entry: Measurement, finding: Finding) -> Item:
    if not math.isfinite(entry.value):
        raise ValueError(
            f"finding {finding.key!r}: measurement '{entry.name.meaning}' is {entry.value}, which DICOM cannot carry; "
            "the pipeline must leave it out"
        )
    return Item(entry.name, Number(round(float(entry.value), 6), entry.unit))


def _evaluations(finding: Finding) -> list[Item]:
    pairs = [(dcm("121052"), PRESENCE[finding.presence])]
    if finding.site is None and finding.laterality is not None:
        pairs.append((sct("272741003"), finding.laterality))
    pairs += [(entry.name, entry.value) for entry in finding.evaluations]
    return [Item(name, Coded(value)) for name, value in pairs]


def _region(region: Region, sources: Sources) -> Item:
    """Return the outline; Stone draws it when its image is called Original Source."""
    instance = sources.instance(region.sop_instance_uid)
    image = Item(dcm("111040"), Image(instance, region.frame_number))
    outline = closed_outline(region, *image_size(instance, sources))
    points = tuple((float(x), float(y)) for x, y in outline)
    links = by_value(Relationship.SELECTED_FROM, image)
    return Item(dcm("111030"), Coordinates(GraphicType.POLYLINE, points), links)


def image_size(instance: Instance, sources: Sources) -> tuple[float, float]:
    """Return (columns, rows) of a source image; (inf, inf) when its header does not say."""
    header = sources.header(instance.sop_instance_uid)
    columns, rows = integer(header, "Columns"), integer(header, "Rows")
    return float(columns or math.inf), float(rows or math.inf)


def closed_outline(region: Region, columns: float, rows: float) -> NDArray[np.float64]:
    """Return the outline clipped to the image, closed; one too small to be seen becomes a box of one pixel."""
    points = np.asarray(region.points, dtype=np.float64).clip((0, 0), (columns, rows))
    low, high = points.min(axis=0), points.max(axis=0)
    if len(np.unique(points, axis=0)) < 3 or (high - low).min() < SMALLEST_PX:
        points = _box(low, high, np.array((columns, rows)))
    return points if (points[0] == points[-1]).all() else np.vstack((points, points[:1]))


def _box(low: NDArray[np.float64], high: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Widen bounds to whole pixels within the image, one at least, and return them as a closed box."""
    low = np.minimum(np.floor(low), size - 1)
    high = np.maximum(np.ceil(high), low + 1)
    return np.array([low, (high[0], low[1]), high, (low[0], high[1]), low])


def _visual_explanation(region: Region, context: GroupContext) -> tuple[Link, ...]:
    """Return the reference to the heatmap of the region's image, when one is made."""
    uid = context.pictures.get((region.sop_instance_uid, region.frame_number))
    return contains(Item(dcm("130401"), Reference(SECONDARY_CAPTURE, uid))) if uid else ()

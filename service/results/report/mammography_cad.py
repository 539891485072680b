# SPDX-License-Identifier: Apache-2.0
"""Encodes a mammography result as Mammography CAD SR (PS3.16 TID 4000), which mammography workstations draw."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pydicom.uid import MammographyCADSRStorage

from service.codes import Code, code, dcm, sct
from service.domain.result import (
    CompositeFinding,
    FeatureRelation,
    Finding,
    PipelineResult,
    Presence,
    RenderingIntent,
    RunKind,
)
from service.ports import EncodedObject, ResultContext, ResultKind
from service.results.report.cad_library import MAMMOGRAPHY_WORDS, ImageKey, entry, library
from service.results.report.cad_parts import (
    RunImages,
    algorithm,
    algorithm_in_full,
    geometry,
    percent,
    rendering,
    reported_findings,
    runs_of,
    summary_code,
    summary_of_runs,
    tracking,
)
from service.results.report.cad_writer import CadKind, write_cad
from service.results.report.context_groups import is_member
from service.results.report.sr_document import language
from service.results.report.sr_tree import (
    Coded,
    Container,
    Item,
    Link,
    Number,
    Relationship,
    Text,
    by_reference,
    by_value,
    contains,
)
from service.results.source.sources import Sources
from service.results.words.wording import comments

PIPELINE = "mammography"
KIND = CadKind(kind=ResultKind.MAMMOGRAPHY_CAD, sop_class_uid=MammographyCADSRStorage, series_number=9011)
ENGLISH = code("RFC5646", "en")
SUBJECT = sct("129793001")
"""What is looked for where a result does not list its runs."""

RELATIONS = MappingProxyType(
    {
        FeatureRelation.TEMPORAL: dcm("111153"),
        FeatureRelation.SPATIAL: dcm("111154"),
        FeatureRelation.CONTRALATERAL: dcm("111155"),
    }
)
DESCRIPTORS: Mapping[Code, Mapping[str, int]] = MappingProxyType(
    {
        sct("129793001"): {"111035": 6008, "107644003": 6004, "111037": 6006},
        sct("129769006"): {"111009": 6010, "111008": 6012},
        sct("129770007"): {"111009": 6010},
    }
)
"""Concept names of the evaluations that a finding may have, and their values' groups (TID 4009, 4010, 4011)."""
COUNT = "111038"
"""Number of calcifications, the one measurement that TID 4010 has a row for."""
CLUSTER = sct("129769006")


def encode_mammography_cad(result: PipelineResult, context: ResultContext, folder: Path) -> tuple[EncodedObject, ...]:
    """Write the report of a mammography result; nothing for any other."""
    if result.pipeline != PIPELINE:
        return ()
    return (write_cad(_root(result, context), KIND, result, context, folder),)


def _root(result: PipelineResult, context: ResultContext) -> Item:
    builder = _Builder(result=result, context=context, sources=Sources.of(context))
    findings = reported_findings(result, _present(result))
    impressions = builder.impressions(findings)
    summary = Item(
        dcm("111017"),
        Coded(summary_code(result, has_findings=bool(impressions))),
        _description(result) + by_value(Relationship.INFERRED_FROM, *impressions),
    )
    runs = runs_of(result, subject=SUBJECT, sources=builder.sources)
    images = RunImages(sources=builder.sources, library=builder.whole_images())
    summaries = [summary_of_runs(kind, runs, result=result, images=images) for kind in RunKind]
    return Item(
        dcm("111036"),
        Container("4000"),
        language(ENGLISH) + contains(library(list(builder.images.values())), summary, *summaries),
    )


def _present(result: PipelineResult) -> tuple[Finding, ...]:
    return tuple(finding for finding in result.findings if finding.presence is Presence.PRESENT)


def _description(result: PipelineResult) -> tuple[Link, ...]:
    """Return the result line, what was left out, and that it is research, as the impression (TID 4002 rows 5, 11)."""
    words = Item(dcm("111033"), Text("\n".join(comments(result))))
    return by_value(Relationship.HAS_PROPERTIES, words) + algorithm_in_full(result)


@dataclass(slots=True, kw_only=True)
class _Builder:
    """Makes the items of findings; every source is an entry of the library, because the template wants one."""

    result: PipelineResult
    context: ResultContext
    sources: Sources
    images: dict[ImageKey, Item] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for instance in self.sources.instances:
            self._image(instance.sop_instance_uid, None)

    def whole_images(self) -> dict[str, Item]:
        """Return the entries of whole instances by UID."""
        return {uid: item for (uid, frame), item in self.images.items() if frame is None}

    def impressions(self, findings: Sequence[Finding]) -> list[Item]:
        """Return one impression for each composite with what it holds, then one for each side (TID 4003)."""
        built = {finding.key: self._finding(finding) for finding in findings}
        by_key = {finding.key: finding for finding in findings}
        composites = [each for each in self.result.composites if set(each.members) <= by_key.keys()]
        placed: set[str] = set()
        impressions = []
        for composite in composites:
            members = [by_key[key] for key in composite.members]
            impressions.append(_impression([self._composite(composite, built, placed)], members))
            placed |= set(composite.members)
        single = [finding for finding in findings if finding.key not in placed]
        for side in dict.fromkeys(finding.laterality for finding in single):
            group = [finding for finding in single if finding.laterality == side]
            impressions.append(_impression([built[finding.key] for finding in group], group))
        return impressions

    def _composite(self, composite: CompositeFinding, built: Mapping[str, Item], placed: set[str]) -> Item:
        """Return a composite feature (TID 4004); a member that stands in an earlier one already is referred to."""
        members = dict.fromkeys(composite.members)
        new = [built[key] for key in members if key not in placed]
        earlier = [built[key] for key in members if key in placed]
        intent = _strongest(finding for finding in self._all() if finding.key in composite.members)
        certain = () if composite.score is None else (percent("111011", composite.score),)
        links = (
            *rendering(intent),
            *tracking(composite.key, self.result, revision=self.context.revision),
            *by_value(
                Relationship.HAS_PROPERTIES,
                Item(dcm("111016"), Coded(RELATIONS[composite.relation])),
                Item(dcm("111057"), Coded(self._scope(composite))),
            ),
            *algorithm(self.result, Relationship.HAS_PROPERTIES),
            *by_value(Relationship.HAS_PROPERTIES, *certain),
            *by_value(Relationship.INFERRED_FROM, *new),
            *by_reference(Relationship.INFERRED_FROM, *earlier),
        )
        return Item(dcm("111015"), Coded(composite.finding), links)

    def _all(self) -> tuple[Finding, ...]:
        return (*self.result.findings, *self.result.candidates)

    def _scope(self, composite: CompositeFinding) -> Code:
        """Return whether the composite was seen on one image or on several (CID 6036)."""
        members = [finding for finding in self._all() if finding.key in composite.members]
        images = {(finding.region.sop_instance_uid, finding.region.frame_number) for finding in members}
        return dcm("111158") if len(images) > 1 else dcm("111157")

    def _finding(self, finding: Finding) -> Item:
        """Return a single image finding (TID 4006)."""
        image = self._image(finding.region.sop_instance_uid, finding.region.frame_number)
        has_point = finding.rendering is RenderingIntent.OPTIONAL and len(self.result.mark_points) > 1
        links = (
            *rendering(finding.rendering, operating_point=1 if has_point else None),
            *tracking(finding.key, self.result, revision=self.context.revision),
            *algorithm(self.result, Relationship.HAS_PROPERTIES),
            *by_value(Relationship.HAS_PROPERTIES, *_score(finding)),
            *geometry(finding, image, self.sources),
            *by_value(Relationship.HAS_PROPERTIES, *_descriptors(finding)),
        )
        return Item(dcm("111059"), Coded(finding.finding), links)

    def _image(self, uid: str, frame_number: int | None) -> Item:
        key = (uid, frame_number)
        if key not in self.images:
            instance = self.sources.instance(uid)
            self.images[key] = entry(instance, frame_number, sources=self.sources, words=MAMMOGRAPHY_WORDS)
        return self.images[key]


def _impression(items: Sequence[Item], findings: Iterable[Finding]) -> Item:
    """Return an Individual Impression/Recommendation, shown when anything in it is (PS3.4 O.2.2.1)."""
    return Item(dcm("111034"), Container(), rendering(_strongest(findings)) + contains(*items))


def _strongest(findings: Iterable[Finding]) -> RenderingIntent:
    intents = {finding.rendering for finding in findings}
    return next(intent for intent in RenderingIntent if intent in intents)


def _score(finding: Finding) -> tuple[Item, ...]:
    """Return the score in percent; only a calibrated one may be called a probability (results.md 3.4)."""
    if finding.score is None:
        return ()
    return (percent("111047" if finding.calibrated else "111012", finding.score),)


def _descriptors(finding: Finding) -> tuple[Item, ...]:
    """Return shape, margin, type and number: the evaluations that the template has a row for."""
    groups = DESCRIPTORS.get(finding.finding, {})
    coded = [
        Item(evaluation.name, Coded(evaluation.value))
        for evaluation in finding.evaluations
        if evaluation.name.value in groups and is_member(evaluation.value, groups[evaluation.name.value])
    ]
    counts = [
        Item(measurement.name, Number(measurement.value, measurement.unit))
        for measurement in finding.measurements
        if finding.finding == CLUSTER and measurement.name.value == COUNT
    ]
    return (*coded, *counts)

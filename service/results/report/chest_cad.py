# SPDX-License-Identifier: Apache-2.0
"""Encodes a chest result as Chest CAD SR (PS3.16 TID 4100), for the few archives that read it.

Radiographs and CT alike: the template is of "chest evidence", and PS3.17 F.3.4 shows it with slices. A slice, or a
frame of a multi-frame image, is then the single image of a finding.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pydicom.uid import ChestCADSRStorage

from service.codes import Code, code, dcm, private, sct
from service.domain.result import Finding, PipelineResult, Presence, RunKind
from service.ports import EncodedObject, ResultContext, ResultKind
from service.results.report.cad_library import CHEST_WORDS, ImageKey, entry, library
from service.results.report.cad_parts import (
    MANY_IMAGES,
    RunImages,
    algorithm,
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
from service.results.report.context_groups import ADDED_CHEST_MODIFIERS, OPACITY, TEXTURE, is_member
from service.results.report.sr_document import language
from service.results.report.sr_tree import Coded, Container, Item, Link, Relationship, by_value, contains
from service.results.source.sources import Sources

KIND = CadKind(kind=ResultKind.CHEST_CAD, sop_class_uid=ChestCADSRStorage, series_number=9021)
ENGLISH = code("RFC5646", "en")
SUBJECTS = MappingProxyType({"pneumoconiosis": dcm("112126"), "diffuse_lung": dcm("112004")})
"""The pipelines that read chests, and what is looked for where a result does not list its runs."""

FINDING_CID, MODIFIER_CID, LOCATION_CID, SIDE_CID = 6101, 6102, 6124, 244
LINES, LUCENCY = "112061", "112062"
MODIFIED_BY = ((6104, OPACITY), (6106, TEXTURE), (6103, LINES), (6105, LUCENCY), (6108, TEXTURE))
"""Groups of CID 6102 and the finding (CID 6101) that their members modify; of several, the first."""

ZONES: Mapping[str, Code] = MappingProxyType({"U": sct("281392002"), "M": sct("281393007"), "L": sct("281394001")})
LOCATIONS: Mapping[Code, Code] = MappingProxyType(
    {private(f"ZONE-{side}{level}"): zone for side in "RL" for level, zone in ZONES.items()}
)
"""Our zones, which name side and level at once, as the standard's (CID 6124), which name the level."""


def encode_chest_cad(result: PipelineResult, context: ResultContext, folder: Path) -> tuple[EncodedObject, ...]:
    """Write the report of a chest result; nothing for any other."""
    if result.pipeline not in SUBJECTS:
        return ()
    return (write_cad(_root(result, context), KIND, result, context, folder),)


def _root(result: PipelineResult, context: ResultContext) -> Item:
    builder = _Builder(result=result, context=context, sources=Sources.of(context))
    present = (finding for finding in result.findings if finding.presence is Presence.PRESENT)
    findings = [builder.finding(finding) for finding in reported_findings(result, present)]
    summary = Item(
        dcm("111017"),
        Coded(summary_code(result, has_findings=bool(findings))),
        by_value(Relationship.INFERRED_FROM, *findings),
    )
    runs = runs_of(result, subject=SUBJECTS[result.pipeline], sources=builder.sources)
    images = RunImages(sources=builder.sources, library=builder.whole_images())
    summaries = [summary_of_runs(kind, runs, result=result, images=images) for kind in RunKind]
    libraries = [library(list(builder.images.values()))] if builder.images else []
    return Item(dcm("112000"), Container("4100"), language(ENGLISH) + contains(*libraries, summary, *summaries))


def coded(finding: Code) -> tuple[Code, Code | None]:
    """Return a finding as the template has it: what kind of abnormality (CID 6101), and which one (CID 6102)."""
    if is_member(finding, FINDING_CID):
        return finding, None
    if finding in ADDED_CHEST_MODIFIERS:
        return dcm(ADDED_CHEST_MODIFIERS[finding]), finding
    kind = next((value for cid, value in MODIFIED_BY if is_member(finding, cid)), TEXTURE)
    return dcm(kind), finding


@dataclass(slots=True, kw_only=True)
class _Builder:
    """Makes the items of findings, and the library of the images that they stand on.

    All images of a study with few of them are in the library; of a CT series those with findings alone.
    """

    result: PipelineResult
    context: ResultContext
    sources: Sources
    images: dict[ImageKey, Item] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.sources.instances) < MANY_IMAGES:
            for instance in self.sources.instances:
                self._image(instance.sop_instance_uid, None)

    def whole_images(self) -> dict[str, Item]:
        """Return the entries of whole instances by UID."""
        return {uid: item for (uid, frame), item in self.images.items() if frame is None}

    def finding(self, finding: Finding) -> Item:
        """Return a single image finding (TID 4104)."""
        kind, modifier = coded(finding.finding)
        image = self._image(finding.region.sop_instance_uid, finding.region.frame_number)
        links = (
            *_modified(modifier),
            *rendering(finding.rendering),
            *tracking(finding.key, self.result, revision=self.context.revision),
            *algorithm(self.result, Relationship.HAS_OBS_CONTEXT),
            *by_value(Relationship.HAS_PROPERTIES, *_score(finding)),
            *geometry(finding, image, self.sources),
            *by_value(Relationship.HAS_PROPERTIES, *_locations(finding)),
        )
        return Item(dcm("111059"), Coded(kind), links)

    def _image(self, uid: str, frame_number: int | None) -> Item:
        key = (uid, frame_number)
        if key not in self.images:
            instance = self.sources.instance(uid)
            self.images[key] = entry(instance, frame_number, sources=self.sources, words=CHEST_WORDS)
        return self.images[key]


def _modified(modifier: Code | None) -> tuple[Link, ...]:
    if modifier is None:
        return ()
    return by_value(Relationship.HAS_CONCEPT_MOD, Item(dcm("112024"), Coded(modifier)))


def _score(finding: Finding) -> tuple[Item, ...]:
    return () if finding.score is None else (percent("111012", finding.score),)


def _locations(finding: Finding) -> Iterator[Item]:
    """Yield the location in the chest with its side (TID 4105), where the standard has a code for it."""
    site = finding.site and LOCATIONS.get(finding.site, finding.site)
    if site is None or not is_member(site, LOCATION_CID):
        return
    side = finding.laterality
    sides = [] if side is None or not is_member(side, SIDE_CID) else [Item(sct("272741003"), Coded(side))]
    yield Item(dcm("112013"), Coded(site), by_value(Relationship.HAS_CONCEPT_MOD, *sides))

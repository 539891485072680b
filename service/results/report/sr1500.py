# SPDX-License-Identifier: Apache-2.0
"""The report of a result after TID 1500, in the one profile that every viewer draws (results.md 4.3)."""

import math

from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage

from service.codes import Code, code, dcm, private, sct
from service.domain.instance import Instance
from service.domain.result import Finding, Measurement, Outcome, PipelineResult, Presence, Region, SiteEvaluation
from service.ports import ResultContext
from service.results.object.equipment import stamp
from service.results.object.identifiers import (
    heatmap_series_instance_uid,
    heatmap_sop_instance_uid,
    sr_series_instance_uid,
    sr_sop_instance_uid,
)
from service.results.picture.captures import as_sent
from service.results.report.sr_document import Identity, Reference, device_observer, document, language
from service.results.report.sr_group import SECONDARY_CAPTURE, GroupContext, image_size, measurement_group
from service.results.report.sr_library import image_library
from service.results.report.sr_tree import Coded, Container, Item, Link, Number, Relationship, Text, by_value, contains
from service.results.source.sources import Sources, text
from service.results.words.statements import is_raised, label, latin, reason_line, series_description
from service.results.words.wording import WORDS, comments, sheet_lines

SERIES_NUMBER = 9001
PROCEDURES = {"MG": sct("71651007"), "CT": sct("169069000")}
PLAIN_CHEST = sct("399208008")
SUBJECTS = {
    "pneumoconiosis": sct("40122008"),
    "diffuse_lung": sct("233703007"),
    "mammography": sct("129793001"),
}
"""What a pipeline looks for: the finding of a group that says for the study as a whole that it is absent or unknown."""
OTHER_SUBJECT = dcm("111101")
WHOLE_PRESENCE = {
    Outcome.FINDINGS: Presence.PRESENT,
    Outcome.NO_FINDINGS: Presence.ABSENT,
    Outcome.PARTLY_ANALYSED: Presence.UNDETERMINED,
    Outcome.NOT_ANALYSED: Presence.UNDETERMINED,
}


def report_document(result: PipelineResult, context: ResultContext, sources: Sources) -> Dataset | None:
    """Return the report as Comprehensive SR, complete but for patient and study.

    None when there is no image whose size is known to anchor it on: a whole-image group breaks OHIF.
    """
    result = as_sent(result, context.profile)
    findings = result.findings or _whole_image(result, sources)
    if not findings:
        return None
    dataset = document(
        _root(result, context, sources, findings=findings),
        _identity(result, context),
        study_instance_uid=sources.first.study_instance_uid,
        evidence=_evidence(result, context, sources),
        predecessors=context.predecessors,
    )
    header = sources.header(sources.first.sop_instance_uid)
    stamp(dataset, result, description=series_description(result, "SR", context=context), source=header)
    return dataset


def _whole_image(result: PipelineResult, sources: Sources) -> tuple[Finding, ...]:
    """Return the one finding of a result without findings: what it looked for is absent, or unknown."""
    for instance in sources.instances:
        columns, rows = image_size(instance, sources)
        if math.isfinite(columns) and math.isfinite(rows):
            finding = Finding(
                key="study",
                label=label(reason_line(result) or result.headline),
                finding=SUBJECTS.get(result.pipeline, OTHER_SUBJECT),
                presence=WHOLE_PRESENCE[result.outcome],
                region=Region.box(instance.sop_instance_uid, x0=0, y0=0, x1=columns, y1=rows),
            )
            return (finding,)
    return ()


def _identity(result: PipelineResult, context: ResultContext) -> Identity:
    uid = sr_sop_instance_uid(result, revision=context.revision, profile=context.profile)
    return Identity(
        sop_class_uid=ComprehensiveSRStorage,
        sop_instance_uid=uid,
        series_instance_uid=sr_series_instance_uid(uid),
        series_number=SERIES_NUMBER,
    )


def _root(result: PipelineResult, context: ResultContext, sources: Sources, *, findings: tuple[Finding, ...]) -> Item:
    group_context = GroupContext(result=result, context=context, sources=sources)
    groups = [measurement_group(finding, group_context) for finding in findings]
    links = (
        *language(code("RFC5646", sources.language.value)),
        *device_observer(result),
        *by_value(Relationship.HAS_CONCEPT_MOD, Item(dcm("121058"), Coded(_procedure(sources)))),
        *_comments(result, sources),
        *contains(image_library(_anchor_images(findings, result, sources), sources)),
        *contains(Item(dcm("126010"), Container(), contains(*groups))),
        *_qualitative(result, context),
    )
    return Item(dcm("126000"), Container("1500"), links)


def _procedure(sources: Sources) -> Code:
    header = sources.header(sources.first.sop_instance_uid)
    return PROCEDURES.get(text(header, "Modality").upper(), PLAIN_CHEST)


def _anchor_images(findings: tuple[Finding, ...], result: PipelineResult, sources: Sources) -> tuple[Instance, ...]:
    """Return the images that findings and heatmaps stand on, each once."""
    uids = [finding.region.sop_instance_uid for finding in findings]
    uids += [heatmap.source_sop_instance_uid for heatmap in result.heatmaps]
    return tuple(sources.instance(uid) for uid in dict.fromkeys(uids))


def _comments(result: PipelineResult, sources: Sources) -> tuple[Link, ...]:
    words = WORDS[sources.language]
    lines = (*comments(result, words, notes=sources.notes), *sheet_lines(result, words))
    return contains(*(Item(dcm("121106"), Text(line)) for line in lines))


def _qualitative(result: PipelineResult, context: ResultContext) -> tuple[Link, ...]:
    """Return the Qualitative Evaluations container: the triage code, and the answers that no outline stands for."""
    items = (*_triage(result, context), *map(_evaluation, result.evaluations), *map(_sum, result.measurements))
    return contains(Item(code("UMLS", "C0034375"), Container(), contains(*items))) if items else ()


def _evaluation(entry: SiteEvaluation) -> Item:
    """Return a coded answer, with the place that it is about and its side."""
    if entry.site is None:
        return Item(entry.name, Coded(entry.value))
    side = () if entry.laterality is None else (Item(sct("272741003"), Coded(entry.laterality)),)
    site = Item(sct("363698007"), Coded(entry.site), by_value(Relationship.HAS_CONCEPT_MOD, *side))
    return Item(entry.name, Coded(entry.value), by_value(Relationship.HAS_CONCEPT_MOD, site))


def _sum(entry: Measurement) -> Item:
    return Item(entry.name, Number(round(float(entry.value), 6), entry.unit))


def _triage(result: PipelineResult, context: ResultContext) -> tuple[Item, ...]:
    triage = result.triage
    if triage is None:
        return ()
    value = private("TRIAGE-HIGH") if is_raised(result, context) else private("TRIAGE-NORM")
    words = (
        f"Triage score {triage.score:.3f}, operating point {triage.operating_point} at {triage.threshold:.3f}; "
        "not for diagnosis, never a reason to leave a study unread"
    )
    return (Item(private("TRIAGE"), Coded(value)), Item(dcm("121106"), Text(latin(words))))


def _evidence(result: PipelineResult, context: ResultContext, sources: Sources) -> list[Instance | Reference]:
    """Return every source, then every heatmap."""
    series = heatmap_series_instance_uid(result, revision=context.revision, profile=context.profile)
    pictures = [
        Reference(
            sop_class_uid=SECONDARY_CAPTURE,
            sop_instance_uid=heatmap_sop_instance_uid(
                result, heatmap.key, revision=context.revision, profile=context.profile
            ),
            series_instance_uid=series,
        )
        for heatmap in result.heatmaps
    ]
    return [*sources.instances, *pictures]

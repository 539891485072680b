# SPDX-License-Identifier: Apache-2.0
"""Encodes a result as Comprehensive SR with TID 1500 in the one profile that every viewer draws (results.md 4.3)."""

import math
from pathlib import Path

import highdicom as hd
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from service import __version__
from service.codes import PRIVATE_SCHEME, Code, code, dcm, private, sct
from service.domain.instance import Instance
from service.domain.provenance import MANUFACTURER, MODEL_NAME
from service.domain.result import Finding, Outcome, PipelineResult, Presence, Region
from service.ports import EncodedObject, ResultContext, ResultKind
from service.results.equipment import stamp
from service.results.identifiers import (
    SERVICE,
    derived_uid,
    heatmap_series_instance_uid,
    heatmap_sop_instance_uid,
    sr_series_instance_uid,
    sr_sop_instance_uid,
)
from service.results.part10 import write_object
from service.results.predecessors import predecessors, study_references
from service.results.sources import Sources, text
from service.results.sr_group import SECONDARY_CAPTURE, GroupContext, concept, image_size, measurement_group
from service.results.sr_library import image_library
from service.results.statements import comments, is_raised, label, latin, model_name, reason_line, series_description
from service.results.verbatim import patient_and_study

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


def encode_sr(result: PipelineResult, context: ResultContext, folder: Path) -> tuple[EncodedObject, ...]:
    """Write the report; nothing when there is no image whose size is known to anchor it on."""
    sources = Sources.of(context)
    findings = result.findings or _whole_image(result, sources)
    if not findings:
        return ()
    document = _document(result, context, sources, findings=findings)
    header = sources.header(sources.first.sop_instance_uid)
    description = series_description(result, "SR", context=context)
    # highdicom notes itself here with the time of encoding, which would make every file differ.
    document.pop("ContributingEquipmentSequence", None)
    stamp(document, result, description=description, source=header)
    replaced = predecessors(context)
    if replaced:
        document.PredecessorDocumentsSequence = study_references(result.study_instance_uid, replaced)
    return (write_object(document, folder, kind=ResultKind.SR, verbatim=patient_and_study(header)),)


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


def _document(
    result: PipelineResult, context: ResultContext, sources: Sources, *, findings: tuple[Finding, ...]
) -> hd.sr.ComprehensiveSR:
    uid = sr_sop_instance_uid(result, revision=context.revision, profile=context.profile)
    return hd.sr.ComprehensiveSR(
        evidence=_evidence(result, context, sources),
        content=_content(result, context, sources, findings=findings)[0],
        series_instance_uid=sr_series_instance_uid(uid),
        series_number=SERIES_NUMBER,
        sop_instance_uid=uid,
        instance_number=1,
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[_own_scheme()],
        specific_character_set=None,
    )


def _own_scheme() -> CodingSchemeIdentificationItem:
    return CodingSchemeIdentificationItem(
        designator=PRIVATE_SCHEME, name="Dokuei private codes", responsible_organization=MANUFACTURER
    )


def _content(
    result: PipelineResult, context: ResultContext, sources: Sources, *, findings: tuple[Finding, ...]
) -> hd.sr.MeasurementReport:
    group_context = GroupContext(result=result, sources=sources, revision=context.revision, profile=context.profile)
    report = hd.sr.MeasurementReport(
        observation_context=_observer(result),
        procedure_reported=concept(_procedure(sources)),
        imaging_measurements=[measurement_group(finding, group_context) for finding in findings],
    )
    root = report[0]
    *opening, measurements = root.ContentSequence
    anchors = _anchor_images(findings, result, sources)
    library = image_library(anchors, sources)
    closing = _qualitative(result, context)
    root.ContentSequence = hd.sr.ContentSequence([*opening, *_comments(result), library, measurements, *closing])
    return report


def _observer(result: PipelineResult) -> hd.sr.ObservationContext:
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid(SERVICE, "device", __version__),
        name=MODEL_NAME,
        manufacturer_name=MANUFACTURER,
        model_name=model_name(result),
        serial_number=__version__,
    )
    observer = hd.sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    return hd.sr.ObservationContext(observer_device_context=observer)


def _procedure(sources: Sources) -> Code:
    header = sources.header(sources.first.sop_instance_uid)
    return PROCEDURES.get(text(header, "Modality").upper(), PLAIN_CHEST)


def _anchor_images(findings: tuple[Finding, ...], result: PipelineResult, sources: Sources) -> tuple[Instance, ...]:
    """Return the images that findings and heatmaps stand on, each once."""
    uids = [finding.region.sop_instance_uid for finding in findings]
    uids += [heatmap.source_sop_instance_uid for heatmap in result.heatmaps]
    return tuple(sources.instance(uid) for uid in dict.fromkeys(uids))


def _comments(result: PipelineResult) -> list[hd.sr.TextContentItem]:
    name = concept(dcm("121106"))
    return [hd.sr.TextContentItem(name=name, value=line, relationship_type="CONTAINS") for line in comments(result)]


def _qualitative(result: PipelineResult, context: ResultContext) -> list[hd.sr.ContainerContentItem]:
    """Return the Qualitative Evaluations container with the triage code; none without a triage score."""
    triage = result.triage
    if triage is None:
        return []
    container = hd.sr.ContainerContentItem(name=concept(code("UMLS", "C0034375")), relationship_type="CONTAINS")
    value = private("TRIAGE-HIGH") if is_raised(result, context) else private("TRIAGE-NORM")
    words = (
        f"Triage score {triage.score:.3f}, operating point {triage.operating_point} at {triage.threshold:.3f}; "
        "not for diagnosis, never a reason to leave a study unread"
    )
    container.ContentSequence = hd.sr.ContentSequence(
        [
            hd.sr.CodeContentItem(name=concept(private("TRIAGE")), value=concept(value), relationship_type="CONTAINS"),
            hd.sr.TextContentItem(name=concept(dcm("121106")), value=latin(words), relationship_type="CONTAINS"),
        ]
    )
    return [container]


def _evidence(result: PipelineResult, context: ResultContext, sources: Sources) -> list[Dataset]:
    """Return every source, then every heatmap, as the stand-ins that highdicom collects references from.

    Stand-ins carry no patient: highdicom refuses character sets that are valid (results.md 6), so the patient's
    attributes are put in afterwards, byte for byte.
    """
    study = sources.first.study_instance_uid
    originals = [
        _stand_in(study, instance.series_instance_uid, instance.sop_class_uid, instance.sop_instance_uid)
        for instance in sources.instances
    ]
    series = heatmap_series_instance_uid(result, revision=context.revision, profile=context.profile)
    uids = [
        heatmap_sop_instance_uid(result, entry.key, revision=context.revision, profile=context.profile)
        for entry in result.heatmaps
    ]
    return originals + [_stand_in(study, series, SECONDARY_CAPTURE, uid) for uid in uids]


def _stand_in(study: str, series: str, sop_class: str, sop_instance: str) -> Dataset:
    dataset = Dataset()
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = series
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = sop_instance
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(dataset, keyword, "")
    dataset.StudyDate = dataset.StudyTime = None
    return dataset

# SPDX-License-Identifier: Apache-2.0
"""Tells an archive that older results of a study are replaced: a Key Object Selection as IHE IOCM defines it.

The title is (113001, DCM, Rejected for Quality Reasons): the older result is of lower quality, being made from fewer
images or by an older model, and a site may still let it be shown on request. 113037 says that patient safety forbids
to ever show an object again, 113038 that it is of the wrong study, and 113039 that it is too old (PS3.16 CID 7010).
"""

from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import KeyObjectSelectionDocumentStorage

from service import __version__
from service.codes import Code, dcm
from service.domain.provenance import MODEL_NAME
from service.domain.result import PipelineResult
from service.ports import EncodedObject, PriorObject, ResultContext, ResultKind
from service.results.object.equipment import code_item, stamp
from service.results.object.identifiers import SERVICE, derived_uid, sr_series_instance_uid
from service.results.object.part10 import write_object
from service.results.report.sr_document import study_references
from service.results.source.sources import Sources
from service.results.source.verbatim import patient_and_study
from service.results.words.statements import model_name, series_description

SERIES_NUMBER = 9411
TITLE = dcm("113001")
TEMPLATE = "2010"
DESCRIPTION = (
    "These results of a computer-aided analysis are replaced by a later one of the same study, which is stored. "
    "This note says nothing about the images. Research use - not for diagnosis."
)
DOCUMENTS = ("1.2.840.10008.5.1.4.1.1.88.", "1.2.840.10008.5.1.4.1.1.11.", "1.2.840.10008.5.1.4.1.1.104.")
"""How the UIDs of SOP classes begin whose instances are referred to as COMPOSITE; the others are images."""


def encode_rejection_note(
    result: PipelineResult,
    context: ResultContext,
    folder: Path,
    *,
    sop_instance_uid: str,
    rejected: tuple[PriorObject, ...],
) -> EncodedObject:
    """Write the note; `result` is the one that replaces what is rejected.

    Raises
    ------
    ValueError
        Nothing is rejected: a key object selection refers to one object at least.
    """
    if not rejected:
        raise ValueError("a rejection note needs at least one object that it rejects")
    sources = Sources.of(context)
    header = sources.header(sources.first.sop_instance_uid)
    objects = tuple(sorted(rejected, key=lambda item: (item.series_instance_uid, item.sop_instance_uid)))
    note = _document(sop_instance_uid)
    note.CurrentRequestedProcedureEvidenceSequence = study_references(result.study_instance_uid, objects)
    note.ContentSequence = Sequence([*_observer(result), _description(), *map(_reference, objects)])
    stamp(note, result, description=series_description(result, "replaced results", context=context), source=header)
    return write_object(note, folder, kind=ResultKind.REJECTION_NOTE, verbatim=patient_and_study(header))


def _document(sop_instance_uid: str) -> Dataset:
    """Return the Key Object Document Series and Document modules (PS3.3 C.17.6) and the root of the tree."""
    note = Dataset()
    note.SOPClassUID = KeyObjectSelectionDocumentStorage
    note.SOPInstanceUID = sop_instance_uid
    note.SeriesInstanceUID = sr_series_instance_uid(sop_instance_uid)
    note.Modality = "KO"
    note.SeriesNumber = SERIES_NUMBER
    note.InstanceNumber = 1
    note.ReferencedPerformedProcedureStepSequence = Sequence()
    note.ValueType = "CONTAINER"
    note.ConceptNameCodeSequence = Sequence([code_item(TITLE)])
    note.ContinuityOfContent = "SEPARATE"
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", TEMPLATE
    note.ContentTemplateSequence = Sequence([template])
    return note


def _observer(result: PipelineResult) -> list[Dataset]:
    """Return TID 1002: a device says this."""
    kind = _item("HAS OBS CONTEXT", "CODE", dcm("121005"))
    kind.ConceptCodeSequence = Sequence([code_item(dcm("121007"))])
    uid = _item("HAS OBS CONTEXT", "UIDREF", dcm("121012"))
    uid.UID = derived_uid(SERVICE, "device", __version__)
    name = _item("HAS OBS CONTEXT", "TEXT", dcm("121013"))
    name.TextValue = MODEL_NAME
    model = _item("HAS OBS CONTEXT", "TEXT", dcm("121015"))
    model.TextValue = model_name(result)
    return [kind, uid, name, model]


def _description() -> Dataset:
    item = _item("CONTAINS", "TEXT", dcm("113012"))
    item.TextValue = DESCRIPTION
    return item


def _reference(rejected: PriorObject) -> Dataset:
    """Return the content item of an object; in this template it has no name of its own."""
    is_document = rejected.sop_class_uid.startswith(DOCUMENTS)
    item = _item("CONTAINS", "COMPOSITE" if is_document else "IMAGE", None)
    reference = Dataset()
    reference.ReferencedSOPClassUID = rejected.sop_class_uid
    reference.ReferencedSOPInstanceUID = rejected.sop_instance_uid
    item.ReferencedSOPSequence = Sequence([reference])
    return item


def _item(relationship: str, value_type: str, name: Code | None) -> Dataset:
    item = Dataset()
    item.RelationshipType = relationship
    item.ValueType = value_type
    if name is not None:
        item.ConceptNameCodeSequence = Sequence([code_item(name)])
    return item

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

from service.codes import dcm
from service.domain.result import PipelineResult
from service.ports import EncodedObject, PriorObject, ResultContext, ResultKind
from service.results.object.equipment import stamp
from service.results.object.identifiers import sr_series_instance_uid
from service.results.object.part10 import write_object
from service.results.report.sr_document import device_observer, study_references
from service.results.report.sr_tree import Container, Item, Reference, Text, contains, write_tree
from service.results.source.sources import Sources
from service.results.source.verbatim import patient_and_study
from service.results.words.statements import series_description

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
    write_tree(_root(result, objects), note)
    stamp(note, result, description=series_description(result, "replaced results", context=context), source=header)
    return write_object(note, folder, kind=ResultKind.REJECTION_NOTE, verbatim=patient_and_study(header))


def _document(sop_instance_uid: str) -> Dataset:
    """Return the Key Object Document Series and Document modules (PS3.3 C.17.6)."""
    note = Dataset()
    note.SOPClassUID = KeyObjectSelectionDocumentStorage
    note.SOPInstanceUID = sop_instance_uid
    note.SeriesInstanceUID = sr_series_instance_uid(sop_instance_uid)
    note.Modality = "KO"
    note.SeriesNumber = SERIES_NUMBER
    note.InstanceNumber = 1
    note.ReferencedPerformedProcedureStepSequence = Sequence()
    return note


def _root(result: PipelineResult, rejected: tuple[PriorObject, ...]) -> Item:
    """Return TID 2010: a device says this, and why, of these objects."""
    description = Item(dcm("113012"), Text(DESCRIPTION))
    links = (*device_observer(result), *contains(description, *map(_reference, rejected)))
    return Item(TITLE, Container(TEMPLATE), links)


def _reference(rejected: PriorObject) -> Item:
    """Return the content item of an object; in this template it has no name of its own."""
    is_document = rejected.sop_class_uid.startswith(DOCUMENTS)
    return Item(None, Reference(rejected.sop_class_uid, rejected.sop_instance_uid, is_document))

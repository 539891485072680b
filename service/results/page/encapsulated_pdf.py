# SPDX-License-Identifier: Apache-2.0
"""Encodes the printed report as Encapsulated PDF (PS3.3 A.45.1)."""

from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EncapsulatedPDFStorage

from service.codes import code, dcm
from service.domain.instance import Instance
from service.domain.result import PipelineResult
from service.ports import EncodedObject, ResultContext, ResultKind
from service.results.object.equipment import code_item, local_time, reference_item, stamp
from service.results.object.identifiers import derived_uid, result_uid
from service.results.object.part10 import write_object
from service.results.page.printed import print_report
from service.results.source.sources import Sources
from service.results.source.verbatim import patient_and_study
from service.results.words.statements import series_description
from service.results.words.wording import WORDS, Words

SERIES_NUMBER = 9601
PDF_ROLE = "pdf"


def encode_pdf(result: PipelineResult, context: ResultContext, folder: Path) -> tuple[EncodedObject, ...]:
    """Write the printed report."""
    sources = Sources.of(context)
    header = sources.header(sources.first.sop_instance_uid)
    words = WORDS[sources.language]
    dataset = _identity(result, context)
    stamp(dataset, result, description=series_description(result, "PDF", context=context), source=header)
    moment = local_time(result.analysed_at, header)
    dataset.AcquisitionDateTime = moment.strftime("%Y%m%d%H%M%S.%f")
    dataset.SourceInstanceSequence = Sequence([_source(instance) for instance in sources.instances])
    _add_document(dataset, print_report(result, sources, words), title=_title(result, words))
    return (write_object(dataset, folder, kind=ResultKind.PDF, verbatim=patient_and_study(header)),)


def _title(result: PipelineResult, words: Words) -> str:
    """Return Document Title, which archives show in lists: the state, and that it is research."""
    return f"{words.pipeline(result.pipeline)}: {words.outcomes[result.outcome]} - {words.research_banner}"


def _identity(result: PipelineResult, context: ResultContext) -> Dataset:
    """Return who the document is; it holds no letters that identify the patient, which is what burned in means here."""
    uid = result_uid(result, PDF_ROLE, revision=context.revision, profile=context.profile)
    dataset = Dataset()
    dataset.SOPClassUID = EncapsulatedPDFStorage
    dataset.SOPInstanceUID = uid
    dataset.SeriesInstanceUID = derived_uid("series of", uid)
    dataset.SeriesNumber = SERIES_NUMBER
    dataset.InstanceNumber = 1
    dataset.Modality = "DOC"
    dataset.ConversionType = "WSD"
    dataset.BurnedInAnnotation = "NO"
    dataset.VerificationFlag = "UNVERIFIED"
    return dataset


def _source(instance: Instance) -> Dataset:
    item = reference_item(instance)
    item.PurposeOfReferenceCodeSequence = Sequence([code_item(dcm("121322"))])
    return item


def _add_document(dataset: Dataset, document: bytes, *, title: str) -> None:
    dataset.DocumentTitle = title
    dataset.ConceptNameCodeSequence = Sequence([code_item(code("LN", "18748-4"))])
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocumentLength = len(document)
    dataset.add_new("EncapsulatedDocument", "OB", document + b"\0" * (len(document) % 2))

# SPDX-License-Identifier: Apache-2.0
"""Result objects of every kind, state and modality, from headers that have everything and from some that have little.

What the statement says of the objects is read off these, so that it cannot say what the encoders do not do.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from harness.studies import cad_result_of, context_of, prior_report, result_of, source_dataset, stored
from service.domain.instance import Instance
from service.domain.profile import CaptureModality, EncodingProfile, Language, ReportClass, TrackingForm
from service.domain.result import Outcome, PipelineResult, Priority
from service.ports import EncodedObject, PriorObject, ResultKind
from service.results import ENCODERS
from service.results.report.rejection_note import encode_rejection_note
from tests.conformance.user import proposed_presentation_contexts

ALL_FORMS = EncodingProfile(report_class=ReportClass.COMPREHENSIVE_3D, label_maps=True)
OTHER_CHOICES = EncodingProfile(
    report_class=ReportClass.COMPREHENSIVE_3D,
    language=Language.JAPANESE,
    capture_modality=CaptureModality.SOURCE,
    tracking=TrackingForm.CORNERSTONE,
    label_maps=True,
)
KEPT_OF_A_BARE_SOURCE = frozenset(
    (
        *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "Rows", "Columns"),
        *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
        *("SamplesPerPixel", "PhotometricInterpretation"),
    )
)

STATES = {
    "CT": (Outcome.FINDINGS, Outcome.PARTLY_ANALYSED),
    "MG": (Outcome.FINDINGS, Outcome.NO_FINDINGS),
    "CR": (Outcome.FINDINGS, Outcome.NOT_ANALYSED),
}
"""The states that are encoded of each modality: every state, and nothing twice that says the same."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Example:
    """An object that was encoded, and the header of the image that its patient and study were copied from."""

    entry: EncodedObject
    dataset: Dataset
    source: Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """All examples, and what a proposal of one object of each SOP class says."""

    examples: tuple[Example, ...]
    contexts: str


@cache
def encoded() -> Encoded:
    """Encode all examples, once in a process."""
    with tempfile.TemporaryDirectory() as folder:
        made = tuple(_examples(Path(folder)))
        of_each_class = {item.entry.sop_class_uid: item.entry for item in made}
        return Encoded(examples=made, contexts=proposed_presentation_contexts(tuple(of_each_class.values())))


def examples() -> tuple[Example, ...]:
    """Return all examples."""
    return encoded().examples


def contexts() -> str:
    """Return the table of the presentation contexts that are proposed."""
    return encoded().contexts


def _examples(folder: Path) -> Iterator[Example]:
    for modality, states in STATES.items():
        full = _stored([_full(source_dataset(modality, number)) for number in (1, 2)], folder / modality / "full")
        bare = _stored([_bare(source_dataset(modality, number)) for number in (1, 2)], folder / modality / "bare")
        for outcome in states:
            yield from _of(_result(modality, full, outcome), full, ALL_FORMS, folder / modality / outcome)
        positive = _result(modality, bare, Outcome.FINDINGS)
        yield from _of(positive, bare, ALL_FORMS, folder / modality / "bare-result")
    for modality in ("CR", "MG"):
        sources = _stored([_full(source_dataset(modality, number)) for number in (1, 2)], folder / "choices" / modality)
        positive = _result(modality, sources, Outcome.FINDINGS)
        yield from _of(positive, sources, OTHER_CHOICES, folder / "choices")


def _result(modality: str, sources: tuple[Instance, ...], outcome: Outcome) -> PipelineResult:
    if modality == "MG" and outcome is Outcome.FINDINGS:
        return cad_result_of(sources)
    return result_of(modality, sources, outcome)


def _of(
    result: PipelineResult, sources: tuple[Instance, ...], profile: EncodingProfile, folder: Path
) -> Iterator[Example]:
    context = context_of(*sources, profile=profile, priority=Priority.URGENT)
    if result.outcome is Outcome.FINDINGS:
        context = replace(context, revision=2, predecessors=(prior_report("2.25.7"),))
    source = pydicom.dcmread(min(sources, key=lambda item: item.sop_instance_uid).path)
    entries = [entry for encoder in ENCODERS.values() for entry in encoder(result, context, folder)]
    rejected = (prior_report("2.25.7"), _picture("2.25.8"))
    entries.append(encode_rejection_note(result, context, folder, sop_instance_uid="2.25.9", rejected=rejected))
    for entry in entries:
        yield Example(entry=entry, dataset=pydicom.dcmread(entry.path), source=source)


def _picture(uid: str) -> PriorObject:
    return replace(prior_report(uid), kind=ResultKind.HEATMAP, sop_class_uid="1.2.840.10008.5.1.4.1.1.7")


def _stored(datasets: Sequence[Dataset], folder: Path) -> tuple[Instance, ...]:
    return tuple(stored(dataset, folder) for dataset in datasets)


def _bare(dataset: Dataset) -> Dataset:
    for keyword in [element.keyword for element in dataset if element.keyword not in KEPT_OF_A_BARE_SOURCE]:
        delattr(dataset, keyword)
    return dataset


def _full(dataset: Dataset) -> Dataset:
    """Add everything that results may copy."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.TimezoneOffsetFromUTC = "+0900"
    dataset.IssuerOfPatientID, dataset.TypeOfPatientID = "HOSPITAL", "TEXT"
    dataset.IssuerOfPatientIDQualifiersSequence = [_item(UniversalEntityID="1.2.3", UniversalEntityIDType="ISO")]
    dataset.OtherPatientIDsSequence = [_item(PatientID="OTHER", TypeOfPatientID="TEXT")]
    dataset.PatientBirthTime, dataset.PatientSize, dataset.PatientWeight = "120000", "1.7", "60"
    dataset.IssuerOfAccessionNumberSequence = [_item(LocalNamespaceEntityID="RIS")]
    dataset.ProcedureCodeSequence = [_code("P1")]
    dataset.ReasonForPerformedProcedureCodeSequence = [_code("R1")]
    dataset.RequestAttributesSequence = [_item(RequestedProcedureID="RP1", ScheduledProcedureStepID="SPS1")]
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionRatio, dataset.LossyImageCompressionMethod = "10", "ISO_10918_1"
    return dataset


def _code(value: str) -> Dataset:
    return _item(CodeValue=value, CodingSchemeDesignator="99SITE", CodeMeaning="A code of the site")


def _item(**elements: str) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item

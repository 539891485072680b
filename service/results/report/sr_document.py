# SPDX-License-Identifier: Apache-2.0
"""The document around a content tree: SR Document Series, General and Content modules (PS3.3 C.17.1 to C.17.3)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydicom import sequence
from pydicom.dataset import Dataset

from service import __version__
from service.codes import PRIVATE_SCHEME, Code, dcm
from service.domain.provenance import MANUFACTURER, MODEL_NAME
from service.domain.result import PipelineResult
from service.results.object.identifiers import SERVICE, derived_uid
from service.results.report.sr_tree import (
    Coded,
    Item,
    Link,
    Relationship,
    Text,
    UidReference,
    by_value,
    codes_of,
    write_tree,
)
from service.results.words.statements import model_name

PRIVATE_SCHEME_NAME = "Dokuei private codes"
CODING_SCHEME_UIDS = {"DCM": "1.2.840.10008.2.16.4", "SCT": "2.16.840.1.113883.6.96", "UCUM": "2.16.840.1.113883.6.8"}
"""The registered schemes that our trees use (PS3.16 table 8-1)."""


class Addressed(Protocol):
    """An instance of the study that a document can refer to: a source, an object of ours, or a predecessor."""

    @property
    def sop_class_uid(self) -> str:
        """SOP Class UID."""

    @property
    def sop_instance_uid(self) -> str:
        """SOP Instance UID."""

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An object of ours that a document of the same result refers to."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What makes a document this document."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    series_number: int


def document(
    root: Item,
    identity: Identity,
    *,
    study_instance_uid: str,
    evidence: Sequence[Addressed],
    predecessors: Sequence[Addressed] = (),
) -> Dataset:
    """Return the document, complete but for patient, study, equipment and times.

    It is complete, preliminary and unverified: no person has signed it. `evidence` is every instance that was given to
    the analysis, in the order of the references; all are of this study.
    """
    dataset = Dataset()
    _write_identity(dataset, identity)
    dataset.CompletionFlag = "COMPLETE"
    dataset.PreliminaryFlag = "PRELIMINARY"
    dataset.VerificationFlag = "UNVERIFIED"
    # Type 2 of the modules: no procedure step of ours is known to the RIS.
    dataset.ReferencedPerformedProcedureStepSequence = sequence.Sequence()
    dataset.PerformedProcedureCodeSequence = sequence.Sequence()
    dataset.CurrentRequestedProcedureEvidenceSequence = study_references(study_instance_uid, evidence)
    if predecessors:
        dataset.PredecessorDocumentsSequence = study_references(study_instance_uid, predecessors)
    _write_coding_schemes(dataset, root)
    write_tree(root, dataset)
    return dataset


def _write_identity(dataset: Dataset, identity: Identity) -> None:
    dataset.SOPClassUID = identity.sop_class_uid
    dataset.SOPInstanceUID = identity.sop_instance_uid
    dataset.SeriesInstanceUID = identity.series_instance_uid
    dataset.Modality = "SR"
    dataset.SeriesNumber = identity.series_number
    dataset.InstanceNumber = 1


def study_references(study_instance_uid: str, instances: Iterable[Addressed]) -> sequence.Sequence:
    """Refer to instances of one study, by series (Hierarchical SOP Instance Reference Macro, PS3.3 C.17.2.1)."""
    series: dict[str, list[Dataset]] = {}
    for instance in instances:
        item = Dataset()
        item.ReferencedSOPClassUID = instance.sop_class_uid
        item.ReferencedSOPInstanceUID = instance.sop_instance_uid
        series.setdefault(instance.series_instance_uid, []).append(item)
    study = Dataset()
    study.StudyInstanceUID = study_instance_uid
    study.ReferencedSeriesSequence = sequence.Sequence([_series_item(uid, items) for uid, items in series.items()])
    return sequence.Sequence([study])


def _series_item(series_instance_uid: str, instances: list[Dataset]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = series_instance_uid
    item.ReferencedSOPSequence = sequence.Sequence(instances)
    return item


def _write_coding_schemes(dataset: Dataset, root: Item) -> None:
    """Say which coding schemes the tree uses (PS3.3 C.12.1.1.12): the registered ones by UID, our own by name."""
    used = {code.scheme for code in codes_of(root)}
    items = [_scheme_item(scheme) for scheme in sorted(used) if scheme in {*CODING_SCHEME_UIDS, PRIVATE_SCHEME}]
    dataset.CodingSchemeIdentificationSequence = sequence.Sequence(items)


def _scheme_item(scheme: str) -> Dataset:
    item = Dataset()
    item.CodingSchemeDesignator = scheme
    if scheme == PRIVATE_SCHEME:
        item.CodingSchemeName = PRIVATE_SCHEME_NAME
        item.CodingSchemeResponsibleOrganization = MANUFACTURER
    else:
        item.CodingSchemeRegistry = "HL7"
        item.CodingSchemeUID = CODING_SCHEME_UIDS[scheme]
    return item


def language(tag: Code) -> tuple[Link, ...]:
    """Return the language of a document (TID 1204), a tag of RFC 5646 (CID 5000)."""
    return by_value(Relationship.HAS_CONCEPT_MOD, Item(dcm("121049"), Coded(tag)))


def device_observer(result: PipelineResult) -> tuple[Link, ...]:
    """Return the device as observer (TID 1002, 1004), for templates that have a row for it.

    The CAD templates have none and are not extensible: there the device is that of the General Equipment module
    (PS3.3 C.17.5).
    """
    texts = (
        ("121013", MODEL_NAME),
        ("121014", MANUFACTURER),
        ("121015", model_name(result)),
        ("121016", __version__),
    )
    return by_value(
        Relationship.HAS_OBS_CONTEXT,
        Item(dcm("121005"), Coded(dcm("121007"))),
        Item(dcm("121012"), UidReference(derived_uid(SERVICE, "device", __version__))),
        *(Item(dcm(value), Text(text)) for value, text in texts),
    )

# SPDX-License-Identifier: Apache-2.0
"""Rules for rejection notes: an archive hides what they list, so that nothing but older results may stand in one."""

from collections import Counter
from collections.abc import Callable

from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from service.results.lint.report import children, concept, template

REJECTIONS = frozenset({"113001", "113037", "113038", "113039"})
"""Titles by which an archive hides or removes what a key object selection lists (IHE IOCM)."""
TITLE = ("113001", "DCM", "Rejected for Quality Reasons")


def is_rejection_note(dataset: Dataset) -> bool:
    """Say whether an archive takes the object for a rejection."""
    return dataset.get("SOPClassUID") == KeyObjectSelectionDocumentStorage and concept(dataset)[0] in REJECTIONS


def rejects_for_quality(dataset: Dataset) -> list[str]:
    """The one title that says what is meant: 113037 to 113039 say that objects are dangerous, misfiled or too old."""
    problems = [] if concept(dataset) == TITLE else [f"the title is {concept(dataset)}, not {TITLE}"]
    if template(dataset) != "2010":
        problems.append(f"the root template is {template(dataset)!r}, not '2010'")
    if dataset.get("Modality") != "KO":
        problems.append(f"'Modality' is {dataset.get('Modality')!r}, not 'KO'")
    return problems


def rejects_what_is_evidence(dataset: Dataset) -> list[str]:
    """Each rejected object is listed once, in the content and in the evidence, and all are of this study."""
    content = Counter(_uid(item) for item in children(dataset) if "ReferencedSOPSequence" in item)
    studies = list(dataset.get("CurrentRequestedProcedureEvidenceSequence") or [])
    series = [entry for study in studies for entry in study.ReferencedSeriesSequence]
    evidence = Counter(str(item.ReferencedSOPInstanceUID) for entry in series for item in entry.ReferencedSOPSequence)
    problems = [] if content else ["nothing is rejected"]
    problems += [f"{uid} is listed {count} times" for uid, count in (content + evidence).items() if count != 2]
    if {str(study.StudyInstanceUID) for study in studies} != {str(dataset.StudyInstanceUID)}:
        problems.append("the evidence is not of the note's own study")
    return problems


def rejects_whole_addresses(dataset: Dataset) -> list[str]:
    """Each rejected object has the series that it stands in, and none stands in the note's own."""
    own = {str(dataset.get("SOPInstanceUID")), str(dataset.get("SeriesInstanceUID"))}
    studies = list(dataset.get("CurrentRequestedProcedureEvidenceSequence") or [])
    series = [str(entry.SeriesInstanceUID) for study in studies for entry in study.ReferencedSeriesSequence]
    problems = ["the note rejects its own series"] if own & set(series) else []
    return problems + ["a rejected object has no series"] * ("" in series)


def _uid(item: Dataset) -> str:
    return str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)


REJECTION_RULES: tuple[Callable[[Dataset], list[str]], ...] = (
    rejects_for_quality,
    rejects_what_is_evidence,
    rejects_whole_addresses,
)

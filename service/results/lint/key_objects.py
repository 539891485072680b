# SPDX-License-Identifier: Apache-2.0
"""Rules for key object selections: of interest, never of none; what is selected is listed, and it is no diagnosis."""

from collections import Counter
from collections.abc import Callable

from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from service.results.lint.report import children, concept, template

TITLE = ("113000", "DCM", "Of Interest")
DESCRIPTION = ("113012", "DCM", "Key Object Description")


def is_key_object_selection(dataset: Dataset) -> list[str]:
    """SOP class, template 2010 and the one title that asks for attention: no other may be given by a computer."""
    problems = []
    if dataset.get("SOPClassUID") != KeyObjectSelectionDocumentStorage:
        problems.append(f"'SOPClassUID' is {dataset.get('SOPClassUID')}, not Key Object Selection Document Storage")
    if concept(dataset) != TITLE:
        problems.append(f"the title is {concept(dataset)}, not {TITLE}")
    if template(dataset) != "2010":
        problems.append(f"the root template is {template(dataset)!r}, not '2010'")
    if dataset.get("Modality") != "KO":
        problems.append(f"'Modality' is {dataset.get('Modality')!r}, not 'KO'")
    return problems


def says_why(dataset: Dataset) -> list[str]:
    """One description says that this is not for diagnosis, and the series that the study is to be looked at first."""
    texts = [str(item.get("TextValue", "")) for item in children(dataset, DESCRIPTION)]
    problems = [] if len(texts) == 1 else [f"there are {len(texts)} descriptions; there must be one"]
    problems += [] if any("not for diagnosis" in text for text in texts) else ["nothing says 'not for diagnosis'"]
    if "review first" not in str(dataset.get("SeriesDescription", "")):
        problems.append("'SeriesDescription' does not say 'review first', but key objects are sent for nothing else")
    return problems


def images_have_no_name(dataset: Dataset) -> list[str]:
    """An image of template 2010 has no concept name; PixelMed's validator takes one for an error."""
    named = [item for item in _selected(dataset) if item.get("ConceptNameCodeSequence")]
    return [f"{len(named)} of the selected images have a concept name"] if named else []


def selected_is_evidence(dataset: Dataset) -> list[str]:
    """Each selected object is selected once and listed as evidence once, and nothing else is listed."""
    listed = Counter(
        str(reference.ReferencedSOPInstanceUID)
        for study in dataset.get("CurrentRequestedProcedureEvidenceSequence") or []
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    )
    selected = Counter(str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for item in _selected(dataset))
    problems = [f"{uid} is selected {count} times" for uid, count in selected.items() if count > 1]
    problems += [f"evidence lists {uid} {count} times" for uid, count in listed.items() if count > 1]
    problems += [f"{uid} is selected but is no evidence" for uid in selected if uid not in listed]
    problems += [f"{uid} is evidence but not selected" for uid in listed if uid not in selected]
    return problems if selected else [*problems, "nothing is selected"]


def selects_within_the_study(dataset: Dataset) -> list[str]:
    """All evidence is of the study that the selection belongs to."""
    studies = {str(study.StudyInstanceUID) for study in dataset.get("CurrentRequestedProcedureEvidenceSequence") or []}
    other = studies - {str(dataset.get("StudyInstanceUID", ""))}
    return [f"evidence is of study {uid}, which is another" for uid in other]


def _selected(dataset: Dataset) -> list[Dataset]:
    return [item for item in children(dataset) if item.get("ValueType") == "IMAGE"]


KEY_OBJECT_RULES: tuple[Callable[[Dataset], list[str]], ...] = (
    is_key_object_selection,
    says_why,
    images_have_no_name,
    selected_is_evidence,
    selects_within_the_study,
)

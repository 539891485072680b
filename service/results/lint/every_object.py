# SPDX-License-Identifier: Apache-2.0
"""Rules that every result object obeys: identity, marks of research, codes that viewers read."""

import re
from collections.abc import Callable, Iterator

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from service.codes import PRIVATE_SCHEME, table
from service.domain.provenance import DEMONSTRATION_MODEL_NAME, MANUFACTURER, MODEL_NAME
from service.results.source.verbatim import OPTIONAL, REQUEST, REQUIRED, stored_bytes

MAX_CODE_VALUE, MAX_MEANING, MAX_DESCRIPTION = 16, 64, 64
UID_FORM = re.compile(r"^(0|[1-9]\d*)(\.(0|[1-9]\d*))+$")
DIGEST_FORM = re.compile(r"^[0-9a-f]{64}$")
OWN_WORDS = frozenset(
    b"DEMO CAD NOT ANALYSED REVIEW FIRST HEATMAP TEXT PDF MARKS SEGMENTATION PARAMETRIC MAP KEY IMAGES "
    b"RESEARCH PNEUMOCONIOSIS DIFFUSE LUNG MAMMOGRAPHY".split()
)
"""Words of our own descriptions: a patient may be called so."""
OF_THE_SOURCE = frozenset(map(Tag, (*OPTIONAL, *REQUEST)))
CODE_VALUE, SCHEME, MEANING = Tag("CodeValue"), Tag("CodingSchemeDesignator"), Tag("CodeMeaning")
IDENTITY_UIDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")


def patient_and_study_are_complete(dataset: Dataset) -> list[str]:
    """Type 1 and 2 attributes of the Patient and General Study modules are there (PS3.3 C.7.1.1, C.7.2.1)."""
    return [f"'{keyword}' is missing; an empty value is allowed" for keyword in REQUIRED if keyword not in dataset]


def uids_are_valid(dataset: Dataset) -> list[str]:
    """Our UIDs have the form of PS3.5 chapter 9, and the file meta information agrees; the study's is the source's."""
    values = {keyword: str(dataset.get(keyword, "")) for keyword in IDENTITY_UIDS}
    problems = [
        f"'{keyword}' value {value!r} is not a UID of at most 64 characters"
        for keyword, value in values.items()
        if len(value) > 64 or not UID_FORM.match(value)
    ]
    if not dataset.get("StudyInstanceUID"):
        problems.append("'StudyInstanceUID' is empty")
    if dataset.file_meta.MediaStorageSOPInstanceUID != values["SOPInstanceUID"]:
        problems.append("'MediaStorageSOPInstanceUID' differs from 'SOPInstanceUID'")
    return problems


def made_by_us(dataset: Dataset) -> list[str]:
    """Equipment names this node, or its output would come back as input."""
    maker = (str(dataset.get("Manufacturer", "")), str(dataset.get("ManufacturerModelName", "")))
    if maker in {(MANUFACTURER, MODEL_NAME), (MANUFACTURER, DEMONSTRATION_MODEL_NAME)}:
        return []
    return [f"'Manufacturer' and 'ManufacturerModelName' are {maker}; loop protection would not recognise the object"]


def marked_as_research(dataset: Dataset) -> list[str]:
    """Content Qualification is RESEARCH, and a demonstration says so in its series description."""
    problems = []
    if dataset.get("ContentQualification") != "RESEARCH":
        problems.append(f"'ContentQualification' is {dataset.get('ContentQualification')!r}; it must be 'RESEARCH'")
    description = str(dataset.get("SeriesDescription", ""))
    is_demonstration = dataset.get("ManufacturerModelName") == DEMONSTRATION_MODEL_NAME
    if is_demonstration and not description.startswith("[DEMO]"):
        problems.append("'SeriesDescription' of a demonstration does not start with '[DEMO]'")
    if "research" not in description:
        problems.append("'SeriesDescription' does not say 'research'")
    return problems


def names_its_package(dataset: Dataset) -> list[str]:
    """The model package is named with version, whole digest and operating point; a demonstration always has one."""
    models = list(dataset.get("ContributingEquipmentSequence") or [])
    if not models:
        is_demonstration = dataset.get("ManufacturerModelName") == DEMONSTRATION_MODEL_NAME
        return ["'ContributingEquipmentSequence' does not name the model package"] if is_demonstration else []
    problems = [] if models[0].get("ManufacturerModelName") else ["the model package has no name"]
    versions = [str(value) for value in models[0].get("SoftwareVersions") or ()]
    if len(versions) != 2 or not DIGEST_FORM.match(versions[1]):
        problems.append(f"the model package is given as {versions}, not as version and SHA-256")
    if "operating point" not in str(models[0].get("ContributionDescription", "")):
        problems.append("'ContributionDescription' does not say the operating point")
    return problems


def description_is_plain(dataset: Dataset) -> list[str]:
    """Series Description is short, ASCII, and holds nothing of the patient's name or number."""
    raw = _bytes(dataset, "SeriesDescription")
    problems = [] if len(raw) <= MAX_DESCRIPTION else [f"'SeriesDescription' has {len(raw)} bytes, 64 are allowed"]
    if not raw.isascii():
        problems.append("'SeriesDescription' is not ASCII")
    if (_words(raw) - OWN_WORDS) & (_words(_bytes(dataset, "PatientName")) | _words(_bytes(dataset, "PatientID"))):
        problems.append("'SeriesDescription' repeats a part of the patient's name or ID")
    return problems


def codes_are_short(dataset: Dataset) -> list[str]:
    """Code values and meanings have the length that viewers read; longer ones would move to other elements."""
    problems = []
    for item in code_items(dataset):
        value, meaning = text(item, CODE_VALUE), text(item, MEANING)
        if not 0 < len(value) <= MAX_CODE_VALUE:
            problems.append(f"code value {value!r} has {len(value)} characters; 1 to 16 are allowed")
        if not 0 < len(meaning) <= MAX_MEANING:
            problems.append(f"meaning of code {value!r} has {len(meaning)} characters; 1 to 64 are allowed")
    return problems


def private_codes_are_known(dataset: Dataset) -> list[str]:
    """Each code of our own scheme stands in the table, with that meaning."""
    problems = []
    for item in code_items(dataset):
        if text(item, SCHEME) != PRIVATE_SCHEME:
            continue
        entry = table().get((PRIVATE_SCHEME, text(item, CODE_VALUE)))
        if entry is None or entry.code.meaning != text(item, MEANING):
            problems.append(f"code ({text(item, CODE_VALUE)}, {PRIVATE_SCHEME}) is not in codes.csv with this meaning")
    return problems


def code_items(dataset: Dataset) -> Iterator[Dataset]:
    """Yield every code sequence item of ours, however deep; those of the source are copied as they are."""
    for item in items_below(dataset, without=OF_THE_SOURCE):
        if MEANING in item:
            yield item


def items_below(dataset: Dataset, *, without: frozenset[BaseTag] = frozenset()) -> Iterator[Dataset]:
    """Yield every sequence item, however deep, without decoding any text; those sequences of the root left out."""
    for tag in set(dataset.keys()) - without:
        element = dataset.get_item(tag)
        if element.VR == "SQ":
            for item in dataset[tag].value:
                yield item
                yield from items_below(item)


def text(item: Dataset, tag: BaseTag) -> str:
    """Return a value as text, "" when it is absent.

    By tag: keywords take twice as long, and a report has hundreds of codes.
    """
    return str(item[tag].value) if tag in item else ""


def _bytes(dataset: Dataset, keyword: str) -> bytes:
    """Return an element as it is stored: a broken name must not break the check."""
    if keyword not in dataset:
        return b""
    return (stored_bytes(dataset.get_item(Tag(keyword))) or b"").strip(b" \0")


def _words(raw: bytes) -> set[bytes]:
    return {word for word in re.split(rb"[^0-9A-Z]+", raw.upper()) if len(word) >= 3}


OBJECT_RULES: tuple[Callable[[Dataset], list[str]], ...] = (
    patient_and_study_are_complete,
    uids_are_valid,
    made_by_us,
    marked_as_research,
    names_its_package,
    description_is_plain,
    codes_are_short,
    private_codes_are_known,
)

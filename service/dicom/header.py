# SPDX-License-Identifier: Apache-2.0
"""Reads the header of a stored instance: the ledger's attributes, and the data set that results are derived from."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence

from service.dicom.keywords import LEDGER_KEYWORDS
from service.dicom.parsing import MAX_VALUE_BYTES, PARSE_FAULTS, decodable, parse_dataset_header, quietly
from service.domain.instance import AttributeValue, Scalar

_INTEGER_VRS = frozenset(("IS", "US", "SS", "UL", "SL", "UV", "SV"))
_REAL_VRS = frozenset(("DS", "FD", "FL"))
_MAX_VALUES = 256


def read_attributes(path: Path, extra_keywords: Iterable[str] = ()) -> dict[str, AttributeValue]:
    """Return the values of LEDGER_KEYWORDS and `extra_keywords` that the file has, and its "TransferSyntaxUID".

    A value that does not fit its VR is given as text, so that a gate can name it.

    Raises
    ------
    DicomStructureError
        The header cannot be parsed, or is ambiguous.
    """
    keywords = dict.fromkeys((*LEDGER_KEYWORDS, *extra_keywords))
    return _attributes(parse_dataset_header(path, keep=_root_tags(keywords)), keywords)


def _attributes(header: FileDataset, keywords: Iterable[str]) -> dict[str, AttributeValue]:
    attributes = select_attributes(decodable(header), keywords)
    return {**attributes, "TransferSyntaxUID": str(header.file_meta.TransferSyntaxUID)}


@quietly()
def select_attributes(dataset: Dataset, keywords: Iterable[str]) -> dict[str, AttributeValue]:
    """Return the values of the dotted keywords that the data set has."""
    found = ((keyword, _collect(dataset, keyword.split("."))) for keyword in keywords)
    return {keyword: _joined(values) for keyword, values in found if values is not None}


def read_source_dataset(path: Path) -> FileDataset:
    """Return the data set without pixel data and without values above 1 MiB, for encoders of results.

    Raises
    ------
    DicomStructureError
        The header cannot be parsed, or is ambiguous.
    """
    dataset = parse_dataset_header(path)
    for tag in [tag for tag, element in dataset.items() if _is_left_out(element)]:
        del dataset[tag]
    return dataset


def _is_left_out(element: object) -> bool:
    return getattr(element, "value", b"") is None and getattr(element, "length", 0) > MAX_VALUE_BYTES


def _root_tags(keywords: Iterable[str]) -> set[int]:
    tags = {keyword: tag_for_keyword(keyword.partition(".")[0]) for keyword in keywords}
    unknown = sorted(keyword for keyword, tag in tags.items() if tag is None)
    if unknown:
        raise KeyError(f"no DICOM keyword (PS3.6): {', '.join(unknown)}")
    return {tag for tag in tags.values() if tag is not None}


def _collect(dataset: Dataset, parts: list[str]) -> list[Scalar] | None:
    """Return all values of a dotted keyword, [] when it is there but empty, None when it is absent."""
    tag = tag_for_keyword(parts[0])
    if tag is None or tag not in dataset:
        return None
    if len(parts) == 1:
        return element_values(dataset, tag)
    members = [_collect(item, parts[1:]) for item in _items(dataset, tag)]
    present = [values for values in members if values is not None]
    return [value for values in present for value in values][:_MAX_VALUES] if present else None


def _items(dataset: Dataset, tag: int) -> Iterator[Dataset]:
    try:
        value = dataset[tag].value
    except PARSE_FAULTS:
        return
    if isinstance(value, DicomSequence):
        yield from value


def element_values(dataset: Dataset, tag: int) -> list[Scalar]:
    """Return an element's values; the text of all of them when one does not fit the VR."""
    try:
        element = dataset[tag]
        values = list(element.value) if isinstance(element.value, MultiValue) else [element.value]
        return [_scalar(value, element.VR) for value in values[:_MAX_VALUES] if value not in (None, "")]
    except PARSE_FAULTS:
        text = _as_text(dataset, tag)
        return [text] if text else []


def _scalar(value: object, vr: str) -> Scalar:
    if vr in _INTEGER_VRS:
        return int(str(value))
    if vr in _REAL_VRS:
        number = float(str(value))
        return number if math.isfinite(number) else str(number)  # JSON, and so the ledger, has no NaN
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def _as_text(dataset: Dataset, tag: int) -> str:
    try:
        raw = getattr(dataset.get_item(tag), "value", b"")
    except PARSE_FAULTS:  # an empty value of a VR that does not exist: pydicom converts it at once
        return ""
    return raw.decode("latin-1").strip("\0 ") if isinstance(raw, bytes) else str(raw)


def _joined(values: list[Scalar]) -> AttributeValue:
    if len(values) > 1:
        return tuple(values)
    return values[0] if values else None

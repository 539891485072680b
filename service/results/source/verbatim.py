# SPDX-License-Identifier: Apache-2.0
"""Copies attributes of a source byte for byte, because decoding and encoding text loses what no table knows.

Vendor characters (gaiji), wrong character set labels and undecodable names all pass unchanged (results.md section 6).
"""

import struct
from collections.abc import Iterable, Iterator

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from service.results.source.bad_values import BAD_VALUE_ERRORS
from service.results.source.inherited_items import is_sound

REQUIRED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Type 1 and 2 attributes of the Patient and General Study modules: empty when the source has none."""

OPTIONAL = (
    "SpecificCharacterSet",
    "TimezoneOffsetFromUTC",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID",
    "OtherPatientIDsSequence",
    "PatientBirthTime",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyDescription",
    "IssuerOfAccessionNumberSequence",
    "ProcedureCodeSequence",
    "ReasonForPerformedProcedureCodeSequence",
)
"""Further attributes of those modules that archives match on or viewers show; without StudyDescription Horos renames
the study."""

COMPRESSION = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
SIDE = ("ImageLaterality", "Laterality")
PLACE = ("FrameOfReferenceUID", "PositionReferenceIndicator", "SliceThickness")
REQUEST = ("RequestAttributesSequence",)
INHERITED_BY_PICTURES = (*COMPRESSION, *SIDE, *PLACE, *REQUEST)
"""Attributes that a picture takes from the image that it was made from."""

TEXT_VRS = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
"""Representations whose bytes are the same in every transfer syntax."""
LONG_VRS = frozenset({"UC", "UR", "UT"})
ITEM = b"\xfe\xff\x00\xe0"

Elements = dict[BaseTag, RawDataElement]


def patient_and_study(header: Dataset) -> Elements:
    """Return the Patient and General Study attributes of a source, ready to be written in Explicit VR Little Endian."""
    return empty(REQUIRED) | copied(header, REQUIRED) | copied(header, OPTIONAL)


def copied(header: Dataset, keywords: Iterable[str]) -> Elements:
    """Return those of the attributes that the header has and that can be copied."""
    elements = (_copy(header, _tag(keyword)) for keyword in keywords)
    return {element.tag: element for element in elements if element is not None}


def empty(keywords: Iterable[str]) -> Elements:
    """Return the attributes without a value."""
    return {_tag(keyword): _raw(_tag(keyword), vr=dictionary_VR(_tag(keyword)), value=b"") for keyword in keywords}


def left_out(header: Dataset, keywords: Iterable[str] = (*OPTIONAL, *REQUEST)) -> tuple[str, ...]:
    """Return the sequences of the header of which an item, however deep, is not copied because it is not valid."""
    return tuple(dict.fromkeys(path for keyword in keywords for path in _unsound(header, _tag(keyword), before="")))


def _unsound(dataset: Dataset, tag: BaseTag, *, before: str) -> Iterator[str]:
    if _vr(tag) != "SQ" or tag not in dataset:
        return
    path = f"{before}{keyword_for_tag(tag)}"
    try:
        items = list(dataset[tag].value)
    except BAD_VALUE_ERRORS:
        yield path
        return
    for item in items:
        if is_sound(item, keyword_for_tag(tag)):
            yield from (found for below in list(item.keys()) for found in _unsound(item, below, before=f"{path}."))
        else:
            yield path


def has_value(elements: Elements, keyword: str) -> bool:
    """Say whether the attribute was copied with a value other than blanks."""
    element = elements.get(_tag(keyword))
    return element is not None and bool((element.value or b"").strip(b" \0"))


def _tag(keyword: str) -> BaseTag:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword!r} is not a keyword of the DICOM data dictionary")
    return Tag(tag)


def _copy(header: Dataset, tag: BaseTag) -> RawDataElement | None:
    vr = _vr(tag)
    if tag not in header or (vr != "SQ" and vr not in TEXT_VRS):
        return None
    value = _sequence_bytes(header, tag) if vr == "SQ" else stored_bytes(header.get_item(tag))
    too_long = value is not None and vr != "SQ" and vr not in LONG_VRS and len(value) > 0xFFFE
    return None if value is None or too_long else _raw(tag, vr=vr, value=value)


def _raw(tag: BaseTag, *, vr: str, value: bytes) -> RawDataElement:
    return RawDataElement(tag, vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)


def stored_bytes(element: DataElement | RawDataElement) -> bytes | None:
    """Return a text element's bytes as they are stored, padded to even length (PS3.5 7.1.1)."""
    if isinstance(element, RawDataElement):
        value = element.value or b""
    else:
        try:
            value = _joined(element)
        except UnicodeEncodeError:
            return None
    padding = b"\0" if dictionary_VR(element.tag) == "UI" else b" "
    return value + padding * (len(value) % 2)


def _joined(element: DataElement) -> bytes:
    """Encode an element that pydicom decoded while reading, which it does to Specific Character Set alone."""
    if element.value is None:
        return b""
    values = [element.value] if isinstance(element.value, str) else list(element.value)
    return "\\".join(str(value) for value in values).encode("ascii")


def _sequence_bytes(header: Dataset, tag: BaseTag) -> bytes | None:
    """Encode a sequence with its text values as they are; None when it cannot be parsed or holds nothing to copy."""
    keyword = keyword_for_tag(tag)
    try:
        items = [item for item in header[tag].value if is_sound(item, keyword)]
        return b"".join(_item_bytes(item) for item in items) or None
    except BAD_VALUE_ERRORS:
        return None


def _item_bytes(item: Dataset) -> bytes:
    elements = (_copy(item, tag) for tag in sorted(item.keys()))
    content = b"".join(_element_bytes(element) for element in elements if element is not None)
    return ITEM + struct.pack("<L", len(content)) + content


def _vr(tag: BaseTag) -> str:
    """Return the representation of a standard element, "" of a private or unknown one."""
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""


def _element_bytes(element: RawDataElement) -> bytes:
    """Encode one element in Explicit VR Little Endian (PS3.5 7.1.2)."""
    vr, value = str(element.VR), element.value or b""
    start = struct.pack("<HH", element.tag.group, element.tag.element) + vr.encode("ascii")
    if vr == "SQ" or vr in LONG_VRS:
        return start + struct.pack("<HL", 0, len(value)) + value
    return start + struct.pack("<H", len(value)) + value

# SPDX-License-Identifier: Apache-2.0
"""Encodes elements in Explicit VR Little Endian, those that are encoded already as they are.

pydicom parses encoded sequences again before it writes a data set, to look for elements of ambiguous representation;
ours hold none. In a report that repeats the same codes hundreds of times that was most of the time.
"""

import struct
from collections.abc import Sequence

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import Tag

from service.results.source.characters import CHARACTER_SET_TAG, own_encodings, values_of
from service.results.source.verbatim import ITEM, Elements

Encodings = Sequence[str] | None


def element_bytes(element: DataElement | RawDataElement, encodings: Encodings = None) -> bytes:
    """Return an element in Explicit VR Little Endian, its text in these Python codecs (ASCII when None)."""
    if element.VR == "SQ" and isinstance(element, DataElement):
        return _sequence_bytes(element, encodings)
    stream = DicomBytesIO()
    stream.is_little_endian = True
    stream.is_implicit_VR = False
    write_data_element(stream, element, list(encodings) if encodings else None)
    return bytes(stream.getvalue())


def encodings_for(verbatim: Elements) -> list[str] | None:
    """Return the codecs of our own words beside elements that may hold Specific Character Set."""
    element = verbatim.get(CHARACTER_SET_TAG)
    return own_encodings(values_of(element.value or b"") if element is not None else ())


def encoded(dataset: Dataset, keyword: str, *, character_set: Elements) -> Elements:
    """Return a sequence of a data set in its encoded form, for several files that hold the same.

    Parameters
    ----------
    character_set
        Elements that may hold the Specific Character Set of those files.
    """
    tag = Tag(keyword)
    content = _content(dataset[keyword], encodings_for(character_set))
    return {tag: RawDataElement(tag, "SQ", len(content), content, 0, is_implicit_VR=False, is_little_endian=True)}


def _sequence_bytes(element: DataElement, encodings: Encodings) -> bytes:
    """Return a sequence of defined length (PS3.5 7.5.2)."""
    content = _content(element, encodings)
    start = struct.pack("<HH", element.tag.group, element.tag.element)
    return start + b"SQ" + struct.pack("<HL", 0, len(content)) + content


def _content(element: DataElement, encodings: Encodings) -> bytes:
    return b"".join(_item_bytes(item, encodings) for item in element.value)


def _item_bytes(item: Dataset, encodings: Encodings) -> bytes:
    content = b"".join(element_bytes(item.get_item(tag), encodings) for tag in sorted(item.keys()))
    return ITEM + struct.pack("<L", len(content)) + content

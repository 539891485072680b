# SPDX-License-Identifier: Apache-2.0
"""The Store Instances Response Module (PS3.18 annex I): written as DICOM JSON, read as JSON and as XML."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from pydicom.dataset import Dataset

from service.transport.statuses import PROCESSING_FAILURE, SUCCESS

JSON_TYPE = "application/dicom+json"
UID = re.compile(r"[0-9.]{1,64}")
WARNING = 0xB000
TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122
"""Failure reasons of PS3.18 table I.2-2 that a C-STORE has no need of: negotiation says them there."""

_SOP_CLASS = "00081150"
_SOP_INSTANCE = "00081155"
_WARNING_REASON = "00081196"
_FAILURE_REASON = "00081197"
_FAILED = "00081198"
_REFERENCED = "00081199"


class StoreResponseError(ValueError):
    """The document is no Store Instances Response."""


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """What became of one instance, as a C-STORE status; the UIDs are "" where the part did not say them."""

    sop_class_uid: str
    sop_instance_uid: str
    status: int

    @property
    def stored(self) -> bool:
        """Whether the instance is stored, if with a warning."""
        return self.status == SUCCESS or self.status & 0xF000 == WARNING


def write_store_response(statuses: Iterable[InstanceStatus]) -> bytes:
    """Return the module as DICOM JSON (PS3.18 annex F)."""
    module = Dataset()
    for status in statuses:
        keyword = _sequence(status)
        if keyword not in module:
            setattr(module, keyword, [])
        module[keyword].value.append(_item(status))
    return module.to_json().encode()


def _sequence(status: InstanceStatus) -> str:
    if status.stored:
        return "ReferencedSOPSequence"
    return "FailedSOPSequence" if UID.fullmatch(status.sop_instance_uid) else "OtherFailuresSequence"


def _item(status: InstanceStatus) -> Dataset:
    item = Dataset()
    if UID.fullmatch(status.sop_instance_uid):
        item.ReferencedSOPClassUID = status.sop_class_uid if UID.fullmatch(status.sop_class_uid) else ""
        item.ReferencedSOPInstanceUID = status.sop_instance_uid
    if not status.stored:
        item.FailureReason = status.status
    elif status.status != SUCCESS:
        item.WarningReason = status.status
    return item


def read_store_response(body: bytes) -> tuple[InstanceStatus, ...]:
    """Return the instances that the module names, with their statuses.

    Only what is said to be stored reads as stored: a failure with a reason of success or of a warning does not. The
    body's first character tells XML from JSON, because Orthanc's answers have no Content-Type.

    Raises
    ------
    StoreResponseError
        The body is no such document.
    """
    try:
        sequences = _from_xml(body) if body.lstrip()[:1] == b"<" else _from_json(body)
        return _statuses(sequences[_REFERENCED], sequences[_FAILED])
    except StoreResponseError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, expat.ExpatError) as error:
        raise StoreResponseError(f"cannot be read ({type(error).__name__})") from error


Items = Sequence[dict[str, str]]
"""The items of a sequence; each has the first value of each element as text, by tag."""
Sequences = dict[str, Items | None]


def _statuses(referenced: Items | None, failed: Items | None) -> tuple[InstanceStatus, ...]:
    if referenced is None and failed is None:
        raise StoreResponseError("has neither ReferencedSOPSequence nor FailedSOPSequence")
    return (
        *(_status(item, _warning(item.get(_WARNING_REASON, ""))) for item in referenced or ()),
        *(_status(item, _failure(item.get(_FAILURE_REASON, ""))) for item in failed or ()),
    )


def _status(item: dict[str, str], status: int) -> InstanceStatus:
    return InstanceStatus(item.get(_SOP_CLASS, ""), item.get(_SOP_INSTANCE, ""), status)


def _warning(text: str) -> int:
    reason = int(text) if text else SUCCESS
    return reason if reason == SUCCESS or reason & 0xF000 == WARNING else WARNING


def _failure(text: str) -> int:
    reason = int(text) if text else PROCESSING_FAILURE
    return PROCESSING_FAILURE if reason == SUCCESS or reason & 0xF000 == WARNING else reason


def _from_json(body: bytes) -> Sequences:
    document = json.loads(body)
    module = document[0] if isinstance(document, list) else document
    return {tag: _json_items(module.get(tag)) for tag in (_REFERENCED, _FAILED)}


def _json_items(element: Any) -> list[dict[str, str]] | None:
    if element is None:
        return None
    return [
        {tag: str(each["Value"][0]) for tag, each in item.items() if each.get("Value")}
        for item in element.get("Value", ())
    ]


def _from_xml(body: bytes) -> Sequences:
    """Read the Native DICOM Model (PS3.19 annex A)."""
    root = _parse_xml(body)
    elements = {element.get("tag", ""): element for element in root if _local(element) == "DicomAttribute"}
    return {tag: _xml_items(elements.get(tag)) for tag in (_REFERENCED, _FAILED)}


def _xml_items(sequence: Element | None) -> list[dict[str, str]] | None:
    if sequence is None:
        return None
    return [
        {
            element.get("tag", ""): value.text or ""
            for element in item
            for value in element
            if value.get("number") == "1"
        }
        for item in sequence
        if _local(item) == "Item"
    ]


def _parse_xml(body: bytes) -> Element:
    """Parse a document that has no DTD: without one, no entity can grow and no file be read."""
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.Parse(body, True)
    return builder.close()


def _refuse_doctype(*_: object) -> None:
    raise ValueError("a DICOM response has no document type declaration")


def _local(element: Element) -> str:
    return element.tag.rpartition(":")[2]

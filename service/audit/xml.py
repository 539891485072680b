# SPDX-License-Identifier: Apache-2.0
"""The elements that audit messages are made of (PS3.15 A.5.1); nothing that a stranger wrote can break out of them."""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, tostring

NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped (section 2.2): a PatientID or an AE title may hold it all the same."""
REPLACEMENT = "\ufffd"
LONGEST_VALUE = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A coded value (PS3.15 A.5.1: csd-code, codeSystemName, originalText)."""

    value: str
    meaning: str
    system: str = "DCM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """A process that took part; `requestor` started what happened."""

    user_id: str
    alternative_user_id: str = ""
    address: str = ""
    requestor: bool = False
    role: Code | None = None
    media: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectOfEvent:
    """What the event was about; `details` are written as base64, as the schema asks, and `query` in place of a name."""

    id: str
    id_type: Code
    type_code: str
    role: str
    name: str = ""
    query: bytes = b""
    details: Mapping[str, str] = field(default_factory=dict)
    accession_numbers: tuple[str, ...] = ()
    sop_classes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who reports: Audit Source ID and Audit Enterprise Site ID."""

    id: str
    enterprise_site_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """What kind of event, when, and how it went ("0" well, "4" minor, "8" serious, "12" major failure)."""

    event: Code
    action: str
    at: float
    outcome: str = "0"
    type: Code | None = None
    description: str = ""


def render(
    happening: Happening, participants: Iterable[Participant], source: Source, objects: Iterable[ObjectOfEvent] = ()
) -> str:
    """Return the message as XML, in the order of the schema."""
    message = Element("AuditMessage")
    _add_event(message, happening)
    for participant in participants:
        _add_participant(message, participant)
    _add_source(message, source)
    for thing in objects:
        _add_object(message, thing)
    return tostring(message, encoding="unicode")


def clean(text: str) -> str:
    """Return the text with what XML cannot hold replaced, and no longer than a value may be."""
    return NOT_XML.sub(REPLACEMENT, text)[:LONGEST_VALUE]


def timestamp(at: float) -> str:
    """Return a time as both EventDateTime and RFC 5424 want it: UTC, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _add_event(message: Element, happening: Happening) -> None:
    attributes = {
        "EventActionCode": happening.action,
        "EventDateTime": timestamp(happening.at),
        "EventOutcomeIndicator": happening.outcome,
    }
    event = SubElement(message, "EventIdentification", attributes)
    _add_code(event, "EventID", happening.event)
    if happening.type is not None:
        _add_code(event, "EventTypeCode", happening.type)
    if happening.description:
        SubElement(event, "EventOutcomeDescription").text = clean(happening.description)


def _add_participant(message: Element, participant: Participant) -> None:
    attributes = {"UserID": participant.user_id, "UserIsRequestor": str(participant.requestor).lower()}
    if participant.alternative_user_id:
        attributes["AlternativeUserID"] = participant.alternative_user_id
    if participant.address:
        attributes["NetworkAccessPointID"] = participant.address
        attributes["NetworkAccessPointTypeCode"] = "2" if _is_address(participant.address) else "1"
    element = SubElement(message, "ActiveParticipant", _clean(attributes))
    if participant.role is not None:
        _add_code(element, "RoleIDCode", participant.role)
    if participant.media is not None:
        _add_code(SubElement(element, "MediaIdentifier"), "MediaType", participant.media)


def _add_source(message: Element, source: Source) -> None:
    attributes = {"AuditSourceID": source.id}
    if source.enterprise_site_id:
        attributes["AuditEnterpriseSiteID"] = source.enterprise_site_id
    element = SubElement(message, "AuditSourceIdentification", _clean(attributes))
    SubElement(element, "AuditSourceTypeCode", {"csd-code": "4"})  # application server process


def _add_object(message: Element, thing: ObjectOfEvent) -> None:
    attributes = {
        "ParticipantObjectID": thing.id,
        "ParticipantObjectTypeCode": thing.type_code,
        "ParticipantObjectTypeCodeRole": thing.role,
    }
    element = SubElement(message, "ParticipantObjectIdentification", _clean(attributes))
    _add_code(element, "ParticipantObjectIDTypeCode", thing.id_type)
    if thing.query:
        SubElement(element, "ParticipantObjectQuery").text = base64.b64encode(thing.query).decode("ascii")
    else:
        SubElement(element, "ParticipantObjectName").text = clean(thing.name)
    for kind, value in thing.details.items():
        encoded = base64.b64encode(clean(value).encode()).decode("ascii")
        SubElement(element, "ParticipantObjectDetail", {"type": kind, "value": encoded})
    if thing.accession_numbers or thing.sop_classes:
        _add_description(element, thing)


def _add_description(element: Element, thing: ObjectOfEvent) -> None:
    description = SubElement(element, "ParticipantObjectDescription")
    for number in thing.accession_numbers:
        SubElement(description, "Accession", _clean({"Number": number}))
    for uid, count in thing.sop_classes.items():
        SubElement(description, "SOPClass", _clean({"UID": uid, "NumberOfInstances": str(count)}))


def _add_code(parent: Element, name: str, code: Code) -> None:
    SubElement(parent, name, {"csd-code": code.value, "codeSystemName": code.system, "originalText": code.meaning})


def _clean(attributes: Mapping[str, str]) -> dict[str, str]:
    return {name: clean(value) for name, value in attributes.items()}


def _is_address(text: str) -> bool:
    return ":" in text or text.replace(".", "").isdigit()

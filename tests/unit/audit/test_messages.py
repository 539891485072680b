# SPDX-License-Identifier: Apache-2.0
"""Audit messages keep to the schema of PS3.15 A.5.1 and to the tables of A.5.3, whatever a stranger wrote into them."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from service.audit import Alert, AlertType, Party, Person, Question, Reporter, StudyPart
from service.audit.syslog import frame
from service.audit.xml import Source
from service.domain.audit import AuditEntry, AuditText

SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("audit-message.rng")))
AT = 1_795_000_000.25
REPORTER = Reporter(
    process_id="4711", ae_title="DOKUEI", host="cad.hospital.example", source=Source(id="cad-1", enterprise_site_id="S")
)
PACS = Party(id="PACS", name="pacs", address="10.0.0.9")
PART = StudyPart(
    study_instance_uid="1.2.3",
    patient_id="P-77",
    accession_number="A-5",
    sop_classes={"1.2.840.10008.5.1.4.1.1.2": 300, "1.2.840.10008.5.1.4.1.1.7": 1},
)
QUESTION = Question(
    sop_class_uid="1.2.840.10008.5.1.4.1.2.2.1", transfer_syntax_uid="1.2.840.10008.1.2", identifier=b"\x10\x00\x20"
)
REJECTED = Alert(
    type=AlertType.NODE_AUTHENTICATION,
    subject="10.9.9.9",
    description="association rejected: calling_ae",
    performer="EVIL",
)
MESSAGES: dict[str, Callable[[], AuditText]] = {
    "110100 start": lambda: REPORTER.activity(started=True, at=AT),
    "110100 stop": lambda: REPORTER.activity(started=False, at=AT),
    "110101": lambda: REPORTER.log_used("doctor", "file:///var/lib/dokuei", at=AT),
    "110102": lambda: REPORTER.begin_sending(PACS, PART, at=AT),
    "110104 received": lambda: REPORTER.received(PACS, PART, at=AT),
    "110104 sent": lambda: REPORTER.sent(PACS, PART, at=AT),
    "110104 refused": lambda: REPORTER.sent(PACS, PART, at=AT, failure="refused by the destination"),
    "110105": lambda: REPORTER.study_deleted(PART, at=AT),
    "110106": lambda: REPORTER.exported(Party(id="https://ris/hook", name="ris"), PART, at=AT),
    "110111": lambda: REPORTER.viewed(Person(name="dr.sato", address="10.1.1.7"), PART, at=AT),
    "110112": lambda: REPORTER.queried(PACS, QUESTION, at=AT),
    "110113": lambda: REPORTER.alert(REJECTED, at=AT),
}


def parsed(message: AuditText) -> Any:
    root = etree.fromstring(message.text)
    SCHEMA.assertValid(root)
    return root


def codes(root: Any, path: str) -> list[str]:
    return [element.get("csd-code") for element in root.findall(path)]


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_keeps_to_the_schema_and_names_its_event(name: str) -> None:
    root = parsed(MESSAGES[name]())
    assert codes(root, "EventIdentification/EventID") == [name.split(maxsplit=1)[0]]
    assert root.find("EventIdentification").get("EventDateTime") == "2026-11-18T11:06:40.250Z"
    assert root.find("AuditSourceIdentification").attrib == {"AuditSourceID": "cad-1", "AuditEnterpriseSiteID": "S"}


def test_the_schema_refuses_what_is_no_audit_message() -> None:
    root = etree.fromstring(MESSAGES["110104 sent"]().text)
    del root.find("EventIdentification").attrib["EventOutcomeIndicator"]
    assert not SCHEMA.validate(root)


@pytest.mark.parametrize("name", ["110102", "110104 received", "110104 sent", "110105", "110106"])
def test_a_message_about_data_names_one_study_and_one_patient(name: str) -> None:
    root = parsed(MESSAGES[name]())
    objects = root.findall("ParticipantObjectIdentification")
    assert [(thing.get("ParticipantObjectTypeCodeRole"), thing.get("ParticipantObjectID")) for thing in objects] == [
        ("3", "1.2.3"),
        ("1", "P-77"),
    ]
    counts = root.findall(".//SOPClass")
    assert [count.get("NumberOfInstances") for count in counts] == ["300", "1"]
    assert root.find(".//Accession").get("Number") == "A-5"


@pytest.mark.parametrize(
    ("name", "action", "outcome", "roles"),
    [
        ("110102", "E", "0", ["110153", "110152"]),
        ("110104 received", "C", "0", ["110153", "110152"]),
        ("110104 sent", "R", "0", ["110153", "110152"]),
        ("110104 refused", "R", "8", ["110153", "110152"]),
        ("110106", "R", "0", ["110153", "110154"]),
        ("110112", "E", "0", ["110153", "110152"]),
    ],
)
def test_a_transfer_says_what_was_done_and_who_took_which_part(
    name: str, action: str, outcome: str, roles: list[str]
) -> None:
    root = parsed(MESSAGES[name]())
    event = root.find("EventIdentification")
    assert (event.get("EventActionCode"), event.get("EventOutcomeIndicator")) == (action, outcome)
    assert codes(root, "ActiveParticipant/RoleIDCode") == roles
    requestors = [part.get("UserIsRequestor") for part in root.findall("ActiveParticipant")]
    assert requestors == ["true", "false"]


def test_a_query_says_whom_it_asked_and_what() -> None:
    root = parsed(MESSAGES["110112"]())
    assert codes(root, "ActiveParticipant/RoleIDCode") == ["110153", "110152"]
    (asked,) = root.findall("ParticipantObjectIdentification")
    assert asked.get("ParticipantObjectID") == "1.2.840.10008.5.1.4.1.2.2.1"
    assert base64.b64decode(asked.find("ParticipantObjectQuery").text) == b"\x10\x00\x20"
    detail = asked.find("ParticipantObjectDetail")
    assert (detail.get("type"), base64.b64decode(detail.get("value"))) == ("TransferSyntax", b"1.2.840.10008.1.2")


def test_an_alert_says_who_where_and_why() -> None:
    message = MESSAGES["110113"]()
    root = parsed(message)
    assert message.severity == 4
    assert codes(root, "EventIdentification/EventTypeCode") == ["110126"]
    performer = root.findall("ActiveParticipant")[1]
    assert (performer.get("UserID"), performer.get("NetworkAccessPointID")) == ("EVIL", "10.9.9.9")
    assert performer.get("UserIsRequestor") == "false"
    detail = root.find(".//ParticipantObjectDetail")
    assert detail.get("type") == "Alert Description"
    assert base64.b64decode(detail.get("value")) == b"association rejected: calling_ae"


@given(hostile=st.text(max_size=80))
def test_no_text_breaks_out_of_a_message(hostile: str) -> None:
    part = StudyPart(study_instance_uid=hostile, patient_id=hostile, accession_number=hostile, sop_classes={hostile: 1})
    party = Party(id=hostile, name=hostile, address=hostile)
    alert = Alert(type=AlertType.RESTRICTED_FUNCTION, subject=hostile, description=hostile, performer=hostile)
    for message in (REPORTER.received(party, part, at=AT), REPORTER.alert(alert, at=AT)):
        root = etree.fromstring(message.text.encode())
        assert SCHEMA.validate(root)
        assert len(root.findall("ParticipantObjectIdentification")) <= 2
        entry = AuditEntry(id=7, at=AT, severity=message.severity, text=message.text)
        length, _, rest = frame(entry, host=hostile, process_id="1").partition(b" ")
        assert int(length) == len(rest)


def test_a_message_is_a_syslog_message_in_a_frame() -> None:
    entry = AuditEntry(id=9, at=AT, severity=5, text="<AuditMessage/>")
    data = frame(entry, host="cad.hospital.example", process_id="4711")
    message = (
        b"<85>1 2026-11-18T11:06:40.250Z cad.hospital.example dokuei 4711 DICOM+RFC3881 "
        b'[meta sequenceId="9"] \xef\xbb\xbf<AuditMessage/>'
    )
    assert data == b"%d %b" % (len(message), message)


def test_no_message_is_longer_than_a_collector_must_take() -> None:
    """PS3.15 A.6: 32,768 octets; the longest values that DICOM allows, and forty SOP classes, stay below."""
    part = StudyPart(
        study_instance_uid="1" * 64,
        patient_id="患" * 64,
        accession_number="A" * 16,
        sop_classes={f"1.2.840.10008.5.1.4.1.1.{number:0>40}": 100_000 for number in range(40)},
    )
    entry = AuditEntry(id=1, at=AT, severity=5, text=REPORTER.received(PACS, part, at=AT).text)
    assert len(frame(entry, host="h" * 255, process_id="1")) < 32_768

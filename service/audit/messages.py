# SPDX-License-Identifier: Apache-2.0
"""The audit messages of PS3.15 A.5.3 that the node writes: one function each, each about one patient at most."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from service.audit.xml import Code, Happening, ObjectOfEvent, Participant, Source, render
from service.domain.audit import NOTICE, WARNING, AuditText

APPLICATION = Code(value="110150", meaning="Application")
DESTINATION = Code(value="110152", meaning="Destination Role ID")
SOURCE = Code(value="110153", meaning="Source Role ID")
DESTINATION_MEDIA = Code(value="110154", meaning="Destination Media")
URI_MEDIA = Code(value="110037", meaning="URI")
SOP_CLASS_UID = Code(value="110181", meaning="SOP Class UID")
STUDY_UID = Code(value="110180", meaning="Study Instance UID")
NODE_ID = Code(value="110182", meaning="Node ID")
PATIENT_NUMBER = Code(value="2", meaning="Patient Number", system="RFC-3881")
URI = Code(value="12", meaning="URI", system="RFC-3881")

ACTIVITY = Code(value="110100", meaning="Application Activity")
LOG_USED = Code(value="110101", meaning="Audit Log Used")
BEGIN = Code(value="110102", meaning="Begin Transferring DICOM Instances")
TRANSFERRED = Code(value="110104", meaning="DICOM Instances Transferred")
DELETED = Code(value="110105", meaning="DICOM Study Deleted")
EXPORT = Code(value="110106", meaning="Export")
PROCEDURE = Code(value="110111", meaning="Procedure Record")
QUERY = Code(value="110112", meaning="Query")
ALERT = Code(value="110113", meaning="Security Alert")
START = Code(value="110120", meaning="Application Start")
STOP = Code(value="110121", meaning="Application Stop")


class AlertType(Enum):
    """The kinds of security alert that the node raises (PS3.16 CID 403)."""

    NODE_AUTHENTICATION = Code(value="110126", meaning="Node Authentication")
    SECURITY_CONFIGURATION = Code(value="110129", meaning="Security Configuration")
    RESTRICTED_FUNCTION = Code(value="110132", meaning="Use of Restricted Function")
    RECORDING_STOPPED = Code(value="110133", meaning="Audit Recording Stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A system that data came from or goes to: AE title or URI, its name in config.yaml, and where it is."""

    id: str
    name: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPart:
    """Instances of one study and one patient: how many of which SOP class."""

    study_instance_uid: str
    patient_id: str
    accession_number: str = ""
    sop_classes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query as it is encoded (PS3.4 C.2.2.1)."""

    sop_class_uid: str
    transfer_syntax_uid: str
    identifier: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who used the node: the name that they signed in with, and where from."""

    name: str
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that was not let happen, or should not have: `subject` is the system that it is about."""

    type: AlertType
    subject: str
    description: str
    performer: str = ""
    outcome: str = "4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """This node as audit messages name it: process and AE title (A.5.2.1, A.5.2.2), host, site."""

    process_id: str
    ae_title: str
    host: str
    source: Source

    def activity(self, *, started: bool, at: float) -> AuditText:
        """Application Activity (A.5.3.1)."""
        happening = Happening(event=ACTIVITY, action="E", at=at, type=START if started else STOP)
        return _text(render(happening, [self._self(APPLICATION)], self.source))

    def log_used(self, user: str, uri: str, *, at: float) -> AuditText:
        """Audit Log Used (A.5.3.2): a person read what waits for the collector."""
        log = ObjectOfEvent(id=uri, id_type=URI, type_code="2", role="13", name="Security Audit Log")
        people = [Participant(user_id=user, requestor=True), self._self()]
        return _text(render(Happening(event=LOG_USED, action="R", at=at), people, self.source, [log]))

    def begin_sending(self, to: Party, part: StudyPart, *, at: float) -> AuditText:
        """Begin Transferring DICOM Instances (A.5.3.3)."""
        participants = [self._self(SOURCE, requestor=True), _party(to, DESTINATION)]
        happening = Happening(event=BEGIN, action="E", at=at)
        return _text(render(happening, participants, self.source, _study_and_patient(part)))

    def received(self, sender: Party, part: StudyPart, *, at: float) -> AuditText:
        """DICOM Instances Transferred (A.5.3.7) to us: created, since what we had already is not counted again."""
        participants = [_party(sender, SOURCE, requestor=True), self._self(DESTINATION)]
        happening = Happening(event=TRANSFERRED, action="C", at=at)
        return _text(render(happening, participants, self.source, _study_and_patient(part)))

    def sent(self, to: Party, part: StudyPart, *, at: float, failure: str = "") -> AuditText:
        """DICOM Instances Transferred (A.5.3.7) by us: "read", since the sender cannot know what the receiver had."""
        participants = [self._self(SOURCE, requestor=True), _party(to, DESTINATION)]
        outcome = "8" if failure else "0"
        happening = Happening(event=TRANSFERRED, action="R", at=at, outcome=outcome, description=failure)
        text = render(happening, participants, self.source, _study_and_patient(part))
        return AuditText(severity=WARNING if failure else NOTICE, text=text)

    def queried(self, archive: Party, question: Question, *, at: float) -> AuditText:
        """Query (A.5.3.10) by us: the identifier is the question, with the Patient ID that it asks for."""
        asked = ObjectOfEvent(
            id=question.sop_class_uid,
            id_type=SOP_CLASS_UID,
            type_code="2",
            role="3",
            query=question.identifier,
            details={"TransferSyntax": question.transfer_syntax_uid},
        )
        participants = [self._self(SOURCE, requestor=True), _party(archive, DESTINATION)]
        return _text(render(Happening(event=QUERY, action="E", at=at), participants, self.source, [asked]))

    def viewed(self, person: Person, part: StudyPart, *, at: float) -> AuditText:
        """Procedure Record (A.5.3.15), read: a person saw on the status page whose study it is and how it fared."""
        people = [Participant(user_id=person.name, address=person.address, requestor=True), self._self()]
        happening = Happening(event=PROCEDURE, action="R", at=at)
        return _text(render(happening, people, self.source, _study_and_patient(part)))

    def study_deleted(self, part: StudyPart, *, at: float) -> AuditText:
        """DICOM Study Deleted (A.5.3.5)."""
        happening = Happening(event=DELETED, action="D", at=at)
        return _text(render(happening, [self._self(requestor=True)], self.source, _study_and_patient(part)))

    def exported(self, to: Party, part: StudyPart, *, at: float) -> AuditText:
        """Export (A.5.3.6): a patient's data left DICOM, by a notification to a URI."""
        media = Participant(
            user_id=to.id, alternative_user_id=to.name, address=to.address, role=DESTINATION_MEDIA, media=URI_MEDIA
        )
        happening = Happening(event=EXPORT, action="R", at=at)
        participants = [self._self(SOURCE, requestor=True), media]
        return _text(render(happening, participants, self.source, _study_and_patient(part)))

    def alert(self, alert: Alert, *, at: float) -> AuditText:
        """Security Alert (A.5.3.11)."""
        participants = [self._self(requestor=True)]
        if alert.performer:
            participants.append(Participant(user_id=alert.performer, address=alert.subject))
        subject = ObjectOfEvent(
            id=alert.subject or self.host,
            id_type=NODE_ID,
            type_code="2",
            role="13",
            details={"Alert Description": alert.description},
        )
        happening = Happening(event=ALERT, action="E", at=at, outcome=alert.outcome, type=alert.type.value)
        return AuditText(severity=WARNING, text=render(happening, participants, self.source, [subject]))

    def _self(self, role: Code | None = None, *, requestor: bool = False) -> Participant:
        return Participant(
            user_id=self.process_id,
            alternative_user_id=f"AETITLES={self.ae_title}",
            address=self.host,
            requestor=requestor,
            role=role,
        )


def _party(party: Party, role: Code, *, requestor: bool = False) -> Participant:
    return Participant(
        user_id=party.id, alternative_user_id=party.name, address=party.address, requestor=requestor, role=role
    )


def _study_and_patient(part: StudyPart) -> Iterable[ObjectOfEvent]:
    yield ObjectOfEvent(
        id=part.study_instance_uid,
        id_type=STUDY_UID,
        type_code="2",
        role="3",
        accession_numbers=(part.accession_number,) if part.accession_number else (),
        sop_classes=part.sop_classes,
    )
    # The ledger does not keep patients' names, so that the name stays empty.
    yield ObjectOfEvent(id=part.patient_id, id_type=PATIENT_NUMBER, type_code="1", role="1")


def _text(text: str) -> AuditText:
    return AuditText(severity=NOTICE, text=text)

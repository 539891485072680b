# SPDX-License-Identifier: Apache-2.0
"""Writes what happened to patients' data into the audit trail, in the transaction in which it happened."""

from collections import Counter
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from service.audit import Alert, AlertType, Party, Person, Question, Reporter, StudyPart
from service.domain.audit import Arrival, AuditText
from service.domain.entry import DeliveryRecord, JobRecord, RevisionRecord
from service.domain.instance import Instance
from service.ports.ledger import LedgerTransaction
from service.ports.priors import AskedQuery
from service.ports.status_page import View
from service.settings import DestinationSettings, PeerSettings, Settings

Owner = tuple[str, str, str, str, str]


class AuditTrail:
    """The audit trail of a site; without a reporter it writes nothing.

    Every method takes the transaction that does what it writes about: both are there, or neither.
    """

    def __init__(self, settings: Settings | None = None, reporter: Reporter | None = None) -> None:
        self._reporter = reporter
        self._peers = {peer.name: peer for peer in settings.peers} if settings else {}
        self._destinations = {entry.name: entry for entry in settings.destinations} if settings else {}
        self._urls = {webhook.name: webhook.url for webhook in settings.webhooks} if settings else {}

    @property
    def writes(self) -> bool:
        """Whether there is an audit trail."""
        return self._reporter is not None

    def activity(self, transaction: LedgerTransaction, *, started: bool, at: float) -> None:
        """The node starts or stops."""
        if self._reporter:
            transaction.audit.add(self._reporter.activity(started=started, at=at), at=at)

    def received(self, transaction: LedgerTransaction, revision: RevisionRecord, *, at: float) -> None:
        """A revision of a study was frozen: one message per peer and patient for what is new in it."""
        if self._reporter is None:
            return
        for (peer, calling_ae, *_), arrivals in _by_owner(transaction.audit.arrivals(revision.id)).items():
            sender = Party(id=calling_ae, name=peer, address=_address(self._peers.get(peer)))
            transaction.audit.add(self._reporter.received(sender, _arrived(arrivals), at=at), at=at)

    def begin_sending(
        self,
        transaction: LedgerTransaction,
        job: JobRecord,
        rows: Sequence[DeliveryRecord],
        *,
        to: DestinationSettings,
        at: float,
    ) -> None:
        """A job's objects are about to be sent; said once for each, however often it is tried."""
        first = [row for row in rows if row.attempts == 0]
        if self._reporter and first:
            part = _part(transaction, job, first)
            transaction.audit.add(self._reporter.begin_sending(_destination(to), part, at=at), at=at)

    def sent(
        self,
        transaction: LedgerTransaction,
        job: JobRecord,
        rows: Sequence[DeliveryRecord],
        *,
        to: DestinationSettings,
        at: float,
    ) -> None:
        """A destination has taken these objects."""
        self._transferred(transaction, job, rows, to=to, at=at, failure="")

    def refused(
        self,
        transaction: LedgerTransaction,
        job: JobRecord,
        rows: Sequence[DeliveryRecord],
        *,
        to: DestinationSettings,
        at: float,
    ) -> None:
        """A destination has refused these objects for good."""
        self._transferred(transaction, job, rows, to=to, at=at, failure="refused by the destination")

    def deleted(self, transaction: LedgerTransaction, study_id: int, *, at: float) -> None:
        """The images of a study, as far as they are here, are about to be deleted."""
        instances = [item for item in transaction.studies.instances(study_id) if not item.is_deleted]
        if self._reporter and instances:
            first = instances[0]
            part = StudyPart(
                study_instance_uid=first.study_instance_uid,
                patient_id=str(first.get("PatientID") or ""),
                accession_number=str(first.get("AccessionNumber") or ""),
                sop_classes=Counter(item.sop_class_uid for item in instances),
            )
            transaction.audit.add(self._reporter.study_deleted(part, at=at), at=at)

    def notified(self, transaction: LedgerTransaction, job: JobRecord, notifier: str, *, at: float) -> None:
        """A notifier was told of a patient's study."""
        if self._reporter is None:
            return
        url = self._urls.get(notifier, notifier)
        party = Party(id=url, name=notifier, address=urlsplit(url).hostname or "")
        transaction.audit.add(self._reporter.exported(party, _part(transaction, job, []), at=at), at=at)

    def dropped(self, transaction: LedgerTransaction, count: int, *, at: float) -> None:
        """The oldest audit messages were lost, because too many waited."""
        description = f"{count} audit messages were dropped: the collector was away for too long"
        alert = Alert(type=AlertType.RECORDING_STOPPED, subject="", description=description, outcome="12")
        self.alerts(transaction, [alert], at=at)

    def alerts(self, transaction: LedgerTransaction, alerts: Iterable[Alert], *, at: float) -> None:
        """Something was not let happen."""
        if self._reporter:
            for alert in alerts:
                transaction.audit.add(self._reporter.alert(alert, at=at), at=at)

    def queried(self, transaction: LedgerTransaction, archive: str, question: AskedQuery, *, at: float) -> None:
        """An archive is about to be asked for a patient's older studies."""
        if self._reporter:
            asked = Question(
                sop_class_uid=question.sop_class_uid,
                transfer_syntax_uid=question.transfer_syntax_uid,
                identifier=question.identifier,
            )
            party = _destination(self._destinations[archive])
            transaction.audit.add(self._reporter.queried(party, asked, at=at), at=at)

    def log_used(self, transaction: LedgerTransaction, user: str, *, uri: str, at: float) -> None:
        """A person read the audit messages that wait."""
        if self._reporter:
            transaction.audit.add(self._reporter.log_used(user, uri, at=at), at=at)

    def viewed(self, transaction: LedgerTransaction, views: Iterable[View], *, at: float) -> None:
        """Somebody saw on the status page whose studies these are: a message for each, as each is about one patient."""
        if self._reporter:
            for view in views:
                part = StudyPart(
                    study_instance_uid=view.study_instance_uid,
                    patient_id=view.patient_id,
                    accession_number=view.accession_number,
                )
                person = Person(name=view.viewer, address=view.address)
                transaction.audit.add(self._reporter.viewed(person, part, at=at), at=at)

    def _transferred(
        self,
        transaction: LedgerTransaction,
        job: JobRecord,
        rows: Sequence[DeliveryRecord],
        *,
        to: DestinationSettings,
        at: float,
        failure: str,
    ) -> None:
        if self._reporter and rows:
            message: AuditText = self._reporter.sent(
                _destination(to), _part(transaction, job, rows), at=at, failure=failure
            )
            transaction.audit.add(message, at=at)


def _by_owner(arrivals: Iterable[Arrival]) -> dict[Owner, list[Arrival]]:
    found: dict[Owner, list[Arrival]] = {}
    for item in arrivals:
        owner = (item.peer, item.calling_ae, item.study_instance_uid, item.patient_id, item.accession_number)
        found.setdefault(owner, []).append(item)
    return found


def _arrived(arrivals: Sequence[Arrival]) -> StudyPart:
    first = arrivals[0]
    return StudyPart(
        study_instance_uid=first.study_instance_uid,
        patient_id=first.patient_id,
        accession_number=first.accession_number,
        sop_classes={item.sop_class_uid: item.count for item in arrivals},
    )


def _part(transaction: LedgerTransaction, job: JobRecord, rows: Sequence[DeliveryRecord]) -> StudyPart:
    source: Instance = transaction.jobs.instances(job.id)[0]  # results are of the patient whom their sources name
    return StudyPart(
        study_instance_uid=job.study_instance_uid,
        patient_id=str(source.get("PatientID") or ""),
        accession_number=str(source.get("AccessionNumber") or ""),
        sop_classes=Counter(row.sop_class_uid for row in rows),
    )


def _destination(settings: DestinationSettings) -> Party:
    return Party(id=settings.ae_title, name=settings.name, address=settings.host)


def _address(peer: PeerSettings | None) -> str:
    """Return the peer's address where the configuration names exactly one."""
    networks = peer.address if peer else ()
    single = len(networks) == 1 and networks[0].num_addresses == 1
    return str(networks[0].network_address) if single else ""

# SPDX-License-Identifier: Apache-2.0
"""The seam to the ledger, the truth about every instance that was acknowledged."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from service.domain.companion import Companion
from service.domain.entry import (
    DeliveryRecord,
    DeliveryState,
    EarlierDelivery,
    HeldObject,
    JobRecord,
    JobState,
    NewJob,
    NotificationRecord,
    NotificationState,
    PriorJob,
    Proof,
    RevisionRecord,
    Stranded,
    StudyRecord,
    Waiting,
)
from service.domain.instance import Instance
from service.domain.quarantine import NewQuarantined, Quarantined
from service.domain.result import PackageIdentity, Priority, Reason
from service.ports.analyst import AnalysisSummary, ResultObject
from service.ports.audit import AuditLedger
from service.ports.drift import DriftLedger
from service.ports.engine import Task
from service.ports.outbox import CircuitLedger, CommitmentLedger, OrderLedger
from service.ports.priors import FetchLedger
from service.ports.purge import PurgeLedger
from service.ports.shadow import ShadowLedger

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a destination is sent of a result: the kinds among the objects of its profile."""

    profile: str
    kinds: frozenset[str]

    def includes(self, item: ResultObject) -> bool:
        """Say whether an object is for it."""
        return item.profile == self.profile and item.kind in self.kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownInstance:
    """What a second copy of an instance is compared with."""

    path: Path
    sha256: str
    is_deleted: bool = False
    """Its file was deleted after its results were delivered, or is being deleted."""


class StudyLedger(Protocol):
    """Studies, their instances and revisions, within one transaction."""

    def find_instance(self, sop_instance_uid: str) -> KnownInstance | None:
        """Return the stored instance with this UID."""

    def is_result(self, sop_instance_uid: str) -> bool:
        """Say whether this node made the instance."""

    def add_instance(self, instance: Instance, *, peer: str, at: float, fetched: bool = False) -> StudyRecord:
        """Insert the instance, create or touch its study, and return the study as it is now.

        A study is `fetched` while all of its instances are.
        """

    def restore_instance(self, instance: Instance, *, peer: str, at: float, fetched: bool = False) -> StudyRecord:
        """Give an instance whose file was deleted a file again, touch its study, and return it."""

    def touch(self, study_instance_uid: str, *, at: float, fetched: bool) -> StudyRecord:
        """Note that the study is to be looked at anew; one that is not `fetched` any more is an ordinary one."""

    def find(self, study_instance_uid: str) -> StudyRecord | None:
        """Return the study with this UID."""

    def listed(self, *, since: float = 0.0) -> tuple[StudyRecord, ...]:
        """Return the studies of which something arrived since, the oldest first."""

    def study(self, study_id: int) -> StudyRecord:
        """Return a study."""

    def instances(self, study_id: int) -> tuple[Instance, ...]:
        """Return all instances of a study, in order of arrival."""

    def instances_of_revision(self, revision_id: int) -> tuple[Instance, ...]:
        """Return the instances that a revision froze, in order of arrival."""

    def arm(self, study_id: int, *, task_id: str, evaluate_at: float) -> None:
        """Note which task looks at the study next, and when; the study's generation goes up by one."""

    def evaluated(self, study_id: int, *, at: float) -> None:
        """Note that a closer looked at the study."""

    def freeze(self, study_id: int, *, reason: str, task_id: Callable[[int], str], at: float) -> RevisionRecord:
        """Freeze the next revision of the study's instance set; `task_id` names its routing task by revision row."""

    def revision(self, revision_id: int) -> RevisionRecord:
        """Return a revision."""

    def routed(self, revision_id: int, *, rules: Sequence[str], pipelines: Sequence[str], at: float) -> None:
        """Note which rules matched a revision; none at all is recorded too."""


class JobLedger(Protocol):
    """Jobs within one transaction."""

    def add(self, job: NewJob, *, task_id: Callable[[int], str], at: float) -> JobRecord | None:
        """Insert the job and supersede unfinished earlier ones; None when the same work is known already."""

    def of_study(self, study_id: int) -> tuple[JobRecord, ...]:
        """Return all jobs of a study, the oldest first."""

    def covers(self, job: NewJob) -> bool:
        """Say whether the pipeline's latest result on the study was made of the same instances, and not refused."""

    def again(self, study_id: int, pipeline: str, *, task_id: Callable[[int, int], str], at: float) -> JobRecord | None:
        """Do the latest work of a pipeline on a study once more, as the same job: it comes to the same objects.

        None while it is at work, or when its destinations have been told that it is replaced. `task_id` names the
        analysis by row and attempt.
        """

    def claim(self, study_id: int, pipeline: str, *, priority: Priority, at: float) -> JobRecord | None:
        """Make the latest work of a pipeline an ordinary one, where it was done for comparison alone; None elsewhere.

        It is done again where it has ended: nothing of it was written or sent.
        """

    def advance(self, job_id: int, *, task_id: Callable[[int, int], str]) -> JobRecord | None:
        """Let a job be analysed now that was to wait; None when it is not waiting any more."""

    def get(self, job_id: int) -> JobRecord:
        """Return a job."""

    def instances(self, job_id: int) -> tuple[Instance, ...]:
        """Return the job's input instances in the order of its selection."""

    def queued_packages(self) -> frozenset[str]:
        """Return the digests of the packages that jobs which are not analysed yet were made with."""

    def adopt(self, job_id: int, package: PackageIdentity, *, refusals: Sequence[Reason]) -> None:
        """Give a job to another package, which refuses it or not, because that of its making is no longer here."""

    def count_start(self, job_id: int) -> None:
        """Count that the analysis begins."""

    def discount_start(self, job_id: int) -> None:
        """Take a start back: the machine could not begin, and that says nothing about the study."""

    def count_crash(self, job_id: int) -> None:
        """Count a death of the child process."""

    def count_encode_failure(self, job_id: int) -> None:
        """Count that encoding failed."""

    def repeat(
        self, key: str, *, flags: Sequence[Reason], task_id: Callable[[int], str], at: float
    ) -> JobRecord | None:
        """Do a job's work again from the beginning, as its successor; None when later work took its place."""

    def analysed(self, job_id: int, summary: AnalysisSummary, *, priority: Priority, task_id: str, at: float) -> None:
        """Keep the outcome and the raised priority, and name the encoding task."""

    def encoded(
        self, job_id: int, objects: Sequence[ResultObject], *, destinations: Mapping[str, Wanted], at: float
    ) -> None:
        """Keep the result objects and make one pending delivery for each destination that wants them."""

    def hold(
        self, job_id: int, objects: Sequence[ResultObject], *, destinations: Mapping[str, Wanted], at: float
    ) -> None:
        """Note which objects must not leave."""

    def unhold(self, job_id: int) -> None:
        """Forget what was noted of a job, and of the earlier ones that it replaces: it is encoded anew."""

    def forget_held(self) -> int:
        """Forget all that was noted: a person has seen it; return the number."""

    def held(self, *, limit: int) -> tuple[HeldObject, ...]:
        """Return what must not leave, the latest first."""

    def earlier(self, job_id: int) -> tuple[EarlierDelivery, ...]:
        """Return the deliveries of all earlier jobs of the same study and pipeline, the latest job first."""

    def prior(self, job_id: int) -> PriorJob | None:
        """Return the latest analysis of an older study of the same patient by the same pipeline.

        The package has the same name; its version may be another. Of each study its last analysis counts, and only one
        that says something of the images does. None for a job without Patient ID, study date or package.
        """

    def companion(self, job_id: int) -> Companion | None:
        """Return the latest result of the companion pipeline for the same patient (domain/companion).

        Of each study its last analysis counts, and only one that says something of the images does. None for a job
        without Patient ID, and for a pipeline without a companion.
        """

    def end(self, job_id: int, state: JobState, *, at: float) -> None:
        """Note the job's final state."""


class DeliveryLedger(Protocol):
    """Deliveries and notifications within one transaction."""

    def pending(self, job_id: int, destination: str) -> tuple[DeliveryRecord, ...]:
        """Return what a destination has yet to take of a job."""

    def get(self, delivery_id: int) -> DeliveryRecord:
        """Return a delivery."""

    def of(self, job_id: int, destination: str) -> tuple[DeliveryRecord, ...]:
        """Return all deliveries of a job to a destination, whatever their state."""

    def add_note(self, job_id: int, destination: str, note: ResultObject, *, at: float) -> None:
        """Keep a rejection note that is yet to be written, and its waiting delivery."""

    def change(self, delivery_ids: Collection[int], state: DeliveryState, *, at: float) -> int:
        """Move deliveries to a state without an attempt; return their number."""

    def retire(self, job_id: int, destination: str, *, at: float) -> int:
        """Note that the destination was told that this job replaces what it has of earlier ones; return the number."""

    def settle(
        self, delivery_id: int, state: DeliveryState, *, status: int | None, error: str, permanent: bool, at: float
    ) -> None:
        """Note the outcome of one attempt, unless a late report has ended the delivery."""

    def stored(self, job_id: int, destination: str) -> tuple[DeliveryRecord, ...]:
        """Return what a destination has stored of a job and has yet to commit itself to."""

    def commit(self, delivery_ids: Collection[int], proof: Proof, *, at: float) -> int:
        """Note that the destination keeps these for good; return how many that is news for."""

    def deny(self, delivery_id: int, state: DeliveryState, *, error: str, permanent: bool, at: float) -> None:
        """Note that the destination does not commit itself to what it had stored."""

    def park(self, destination: str, *, job_id: int | None = None) -> None:
        """Take the tasks away from what is pending for a destination that is not there, or of one job only."""

    def release(self, destination: str, *, limit: int) -> tuple[Waiting, ...]:
        """Return so many of the jobs that are parked, urgent first, then oldest first; each must be assigned."""

    def candidate(self, destination: str) -> int | None:
        """Return the parked job to try first; one that broke such a try before comes after the others."""

    def tried(self, job_id: int, destination: str) -> None:
        """Note that a job broke the first try after an outage."""

    def assign(self, job_id: int, destination: str, *, task_id: str, next_attempt_at: float) -> None:
        """Name the task that makes the next attempt at everything pending of a job with a destination."""

    def next_attempt(self, job_id: int, destination: str) -> int:
        """Return the number of the next attempt at a job's objects, after which its task is named."""

    def open_count(self, job_id: int) -> int:
        """Return how many deliveries of a job have not reached their end."""

    def reopen(self, destination: str | None = None) -> int:
        """Make refused deliveries pending again, for one destination or for all; the reconciler picks them up."""

    def follow(self, destinations: Collection[str], *, committing: Collection[str], at: float) -> None:
        """Follow the configuration.

        What waits for a destination that is not among these is abandoned, and what one of these missed is taken up.
        What one has stored that is no longer asked to commit itself (not `committing`) counts as delivered.
        """

    def add_notification(
        self, job_id: int, notifier: str, *, task_id: Callable[[int], str], at: float
    ) -> NotificationRecord | None:
        """Insert a notification; None when the job has one for the notifier already."""

    def notification(self, notification_id: int) -> NotificationRecord:
        """Return a notification."""

    def settle_notification(self, notification_id: int, state: NotificationState, *, task_id: str, at: float) -> None:
        """Note the outcome of one attempt, and the task that makes the next at `at`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """How much of a peer lies in the quarantine."""

    peer: str
    objects: int
    size_bytes: int


class QuarantineLedger(Protocol):
    """What was not let in, and studies that killed their worker, within one transaction."""

    def add(self, new: NewQuarantined, *, at: float) -> bool:
        """Insert a row, or count that the same thing came again: False then."""

    def get(self, row_id: int) -> Quarantined | None:
        """Return a row; None when it is not there, or not any more."""

    def rows(self, *, limit: int) -> tuple[Quarantined, ...]:
        """Return what came last, newest first."""

    def holdings(self) -> tuple[Holding, ...]:
        """Return how much there is of each peer."""

    def oldest(self, *, peer: str | None = None, before: float | None = None, limit: int) -> tuple[Quarantined, ...]:
        """Return what came longest ago: of a peer, or before a time."""

    def remove(self, row_ids: Collection[int]) -> None:
        """Delete rows."""

    def paths(self) -> frozenset[Path]:
        """Return the files of all rows."""


class LedgerTransaction(Protocol):
    """One transaction: everything in it happens, or nothing does, enqueued tasks included."""

    @property
    def studies(self) -> StudyLedger:
        """Studies, instances and revisions."""

    @property
    def jobs(self) -> JobLedger:
        """Jobs."""

    @property
    def deliveries(self) -> DeliveryLedger:
        """Deliveries and notifications."""

    @property
    def audit(self) -> AuditLedger:
        """Audit messages that wait for the collector."""

    @property
    def quarantine(self) -> QuarantineLedger:
        """What was not let in."""

    @property
    def commitments(self) -> CommitmentLedger:
        """Storage commitment that we ask for."""

    @property
    def circuits(self) -> CircuitLedger:
        """Which destinations are reachable."""

    @property
    def orders(self) -> OrderLedger:
        """Storage commitment that is asked of us."""

    @property
    def shadows(self) -> ShadowLedger:
        """What shadow packages say."""

    @property
    def drift(self) -> DriftLedger:
        """The watch over drift."""

    @property
    def purges(self) -> PurgeLedger:
        """What is deleted."""

    @property
    def fetches(self) -> FetchLedger:
        """Older studies that are fetched."""

    def enqueue(self, task: Task) -> None:
        """Enqueue a task together with what this transaction writes."""

    def unfinished(self) -> tuple[Stranded, ...]:
        """Return every non-terminal row with the task that should be driving it."""

    def reassign(self, row: Stranded, *, task_id: str) -> bool:
        """Give the row to another task, unless it has moved on since it was read; False then."""


class Ledger(Protocol):
    """The truth about every instance that was acknowledged."""

    def reading(self) -> AbstractContextManager[LedgerTransaction]:
        """Open a consistent view that writes nothing and waits for nobody."""

    def transaction(self) -> AbstractContextManager[LedgerTransaction]:
        """Open a transaction that commits at the end of the block and rolls back when it raises.

        Raises
        ------
        StorageError
            The database refused; nothing of the block happened.
        """

    def together(self, work: Callable[[LedgerTransaction], Outcome]) -> Outcome:
        """Run `work` in a transaction that it may share with others who come at the same time, and so share its flush.

        Returns after the commit. `work` may run twice, when another's work made the shared transaction fail; beside the
        ledger it does only what can be repeated.

        Raises
        ------
        StorageError
            As `transaction`.
        """

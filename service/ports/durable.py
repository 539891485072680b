# SPDX-License-Identifier: Apache-2.0
"""The seams that durability hangs on: the ledger (the truth), the engine (which only drives it) and the analyst."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from service.domain.instance import Instance
from service.domain.record import (
    DeliveryRecord,
    DeliveryState,
    JobRecord,
    JobState,
    NewJob,
    NotificationRecord,
    NotificationState,
    RevisionRecord,
    Stranded,
    StudyRecord,
)
from service.domain.result import Outcome, PackageIdentity, Priority, Reason, Triage

# --- engine ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One piece of durable work: `handler` is called with `row_id` and `task_id`.

    `task_id` is chosen by us and names the work once and for all: enqueueing it a second time changes nothing.
    A lower `priority` number runs first. Tasks carry row numbers only, never anything of a patient.
    """

    handler: str
    row_id: int
    task_id: str
    queue: str
    priority: int
    delay_seconds: float = 0.0


TaskHandler = Callable[[int, str], None]


class Engine(Protocol):
    """Runs tasks at least once, urgent ones first, through crashes and restarts."""

    def register(self, handler: str, function: TaskHandler) -> None:
        """Bind a handler's name to its function; before `launch`."""

    def declare_queue(self, name: str, *, concurrency: int) -> None:
        """Make a queue that runs at most `concurrency` tasks at once; before `launch`."""

    def enqueue(self, connection: Any, task: Task) -> None:  # noqa: ANN401 - the ledger's own connection
        """Add the task within the transaction of `connection`."""

    def live(self, task_ids: Collection[str]) -> frozenset[str]:
        """Return those of the tasks that will still run, or are running, without anybody's help."""

    def launch(self) -> None:
        """Recover what an earlier process left and start to run tasks."""

    def shutdown(self, *, drain_seconds: float) -> None:
        """Take no further tasks, give the running ones this long, and stop; the rest is recovered at next launch."""

    def forget(self, *, older_than_seconds: float) -> int:
        """Delete finished tasks that ended longer ago than this; return their number."""


# --- ledger ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownInstance:
    """What a second copy of an instance is compared with."""

    study_id: int
    study_instance_uid: str
    sha256: str


class StudyLedger(Protocol):
    """Studies, their instances and revisions, within one transaction."""

    def find_instance(self, sop_instance_uid: str) -> KnownInstance | None:
        """Return the stored instance with this UID."""

    def add_instance(self, instance: Instance, *, peer: str, at: float) -> StudyRecord:
        """Insert the instance, create or touch its study, and return the study as it is now."""

    def add_conflict(self, instance: Instance, *, peer: str, at: float) -> bool:
        """Record other bytes under a known UID; False when these very bytes were recorded before."""

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

    def get(self, job_id: int) -> JobRecord:
        """Return a job."""

    def instances(self, job_id: int) -> tuple[Instance, ...]:
        """Return the job's input instances in the order of its selection."""

    def count_start(self, job_id: int) -> None:
        """Count that the analysis begins."""

    def count_crash(self, job_id: int) -> None:
        """Count a death of the child process."""

    def count_encode_start(self, job_id: int) -> None:
        """Count that encoding begins."""

    def refuse(self, job_id: int, reasons: Sequence[Reason]) -> None:
        """Note that the job ends as not analysed, and why."""

    def analysed(self, job_id: int, summary: "AnalysisSummary", *, priority: Priority, task_id: str, at: float) -> None:
        """Keep the outcome and the raised priority, and name the encoding task."""

    def encoded(
        self, job_id: int, objects: Sequence["ResultObject"], *, destinations: Mapping[str, Collection[str]], at: float
    ) -> None:
        """Keep the result objects and make one pending delivery for each destination that wants their kind."""

    def end(self, job_id: int, state: JobState, *, at: float) -> None:
        """Note the job's final state."""


class DeliveryLedger(Protocol):
    """Deliveries and notifications within one transaction."""

    def pending(self, job_id: int, destination: str) -> tuple[DeliveryRecord, ...]:
        """Return what a destination has yet to take of a job."""

    def get(self, delivery_id: int) -> DeliveryRecord:
        """Return a delivery."""

    def settle(
        self, delivery_id: int, state: DeliveryState, *, status: int | None, error: str, permanent: bool, at: float
    ) -> None:
        """Note the outcome of one attempt."""

    def assign(self, job_id: int, destination: str, *, task_id: str, next_attempt_at: float) -> None:
        """Name the task that makes the next attempt at everything pending of a job with a destination."""

    def open_count(self, job_id: int) -> int:
        """Return how many deliveries of a job are still pending."""

    def reopen(self, destination: str | None = None) -> int:
        """Make refused deliveries pending again, for one destination or for all; the reconciler picks them up."""

    def add_notification(
        self, job_id: int, notifier: str, *, task_id: Callable[[int], str], at: float
    ) -> NotificationRecord:
        """Insert a notification."""

    def notification(self, notification_id: int) -> NotificationRecord:
        """Return a notification."""

    def settle_notification(self, notification_id: int, state: NotificationState, *, task_id: str, at: float) -> None:
        """Note the outcome of one attempt and the task that makes the next."""


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

    def enqueue(self, task: Task) -> None:
        """Enqueue a task together with what this transaction writes."""

    def unfinished(self) -> tuple[Stranded, ...]:
        """Return every non-terminal row with the task that should be driving it."""

    def reassign(self, row: Stranded, *, task_id: str) -> bool:
        """Give the row to another task, unless it has moved on since it was read; False then."""


class Ledger(Protocol):
    """The truth about every instance that was acknowledged."""

    def transaction(self) -> AbstractContextManager[LedgerTransaction]:
        """Open a transaction that commits at the end of the block and rolls back when it raises.

        Raises
        ------
        StorageError
            The database refused; nothing of the block happened.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivedFile:
    """A data set on stable storage under a temporary name, not yet in the ledger."""

    path: Path
    sha256: str
    size_bytes: int


class InstanceStore(Protocol):
    """Files of instances: complete and flushed under their final name, or not there at all."""

    def write(
        self,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        dataset: Iterable[bytes | memoryview],
    ) -> ArrivedFile:
        """Stream a data set to a temporary DICOM file and flush it.

        Raises
        ------
        OutOfSpaceError
            Free space is below the reserve, or ran out on the way; nothing is left behind.
        StorageError
            The disk refused.
        """

    def keep(self, arrived: ArrivedFile) -> Path:
        """Give the file its final name, durably."""

    def set_aside(self, arrived: ArrivedFile) -> Path:
        """Move the file to the conflicts, durably."""

    def discard(self, arrived: ArrivedFile) -> None:
        """Delete the file."""

    def result_folder(self, job_key: str) -> Path:
        """Return the folder of a job's results; made when it is missing."""

    def remove_partial(self) -> int:
        """Delete what interrupted writes left behind; return the number of files. Only while nothing is received."""


# --- analyst --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledPackage:
    """A model package that passed its checks, as far as deciding about studies needs it."""

    identity: PackageIdentity
    acceptance: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisRequest:
    """What is to be analysed: `instances` in the order of the pipeline's selection.

    `folder` is the job's own: the neutral result and every result object go there. `analysed_at` is fixed per job, so
    that doing it again gives the same bytes.
    """

    job_key: str
    pipeline: str
    package: PackageIdentity | None
    study_instance_uid: str
    instances: tuple[Instance, ...]
    flags: tuple[Reason, ...]
    folder: Path
    analysed_at: datetime
    priority: Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisSummary:
    """The part of a result that decides what happens next; the whole result lies in the job's folder."""

    outcome: Outcome
    headline: str
    refusals: tuple[Reason, ...] = ()
    flags: tuple[Reason, ...] = ()
    triage: Triage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """A result object as the ledger keeps it."""

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeRequest:
    """What the encoders need beside the neutral result in the job's folder."""

    analysis: AnalysisRequest
    revision: int
    predecessor_sop_instance_uids: tuple[str, ...]
    kinds: tuple[str, ...]


class Analyst(Protocol):
    """Decodes, infers and encodes in child processes. Every call may be made twice and then gives the same."""

    def analyse(self, request: AnalysisRequest) -> AnalysisSummary:
        """Run the pipeline and keep the neutral result in the job's folder.

        Raises
        ------
        WorkerCrashedError, WorkerTimeoutError
            The child process died on it.
        InputError, PackageError
            It cannot be analysed, and trying again does not help.
        """

    def refuse(self, request: AnalysisRequest, reasons: Sequence[Reason]) -> AnalysisSummary:
        """Keep a not-analysed result with these reasons in the job's folder, without running anything."""

    def encode(self, request: EncodeRequest) -> tuple[ResultObject, ...]:
        """Write the result objects of these kinds into the job's folder."""
